/**
 * `holdfast takeover` and `holdfast giveback`: planned changes of owner, of one volume or of all of a server's. Both
 * wait, show progress and report the pause; with `--dry-run` they only say what would be done, or all that is in the way.
 */
import type { Command } from 'commander';
import { ExitCode, Failure } from '../exit.ts';
import { carryOut, carryOutAll, lookAt, showPlans } from './carry-out.ts';
import { configOption, openCluster, requireConfig, requireServer, requireVolume } from './common.ts';
import type { Cluster, ServerView, VolumeView } from './common.ts';
import { planTake, plansBack, plansFrom } from './plan.ts';
import type { Plan } from './plan.ts';

interface Options {
  readonly config: string;
  readonly to?: string;
  readonly server?: string;
  readonly dryRun?: boolean;
}

export function addTakeover(program: Command): void {
  program
    .command('takeover [volume]')
    .description('have another server take a volume over, or all volumes that a server owns, without losing a request')
    .addOption(configOption())
    .option('--to <server>', 'the server that is to own the volume; left out: the first that can')
    .option('--server <server>', 'instead of one volume: all that this server owns, one after the other')
    .option('--dry-run', 'only say what would be done, or every reason why it cannot be')
    .action(async (name: string | undefined, options: Options) => {
      const { to, server } = options;
      const cluster = openCluster(requireConfig(options.config));
      oneOf(cluster, name, options);
      if (to !== undefined) requireServer(cluster.config, to);
      if (to !== undefined && server !== undefined)
        throw new Failure(
          ExitCode.usage,
          '--to is for one volume; with --server each goes to the first server that can',
        );
      await perform(cluster, options, `${server} owns no volume`, (views, servers) =>
        server === undefined
          ? views.filter(({ config }) => config.name === name).map((view) => planTake(view, servers, to))
          : plansFrom(server, views, servers),
      );
    });
}

export function addGiveback(program: Command): void {
  program
    .command('giveback [volume]')
    .description('have the preferred owner take its volume back, or a server all volumes that prefer it')
    .addOption(configOption())
    .option('--server <server>', 'instead of one volume: all that prefer this server, one after the other')
    .option('--dry-run', 'only say what would be done, or every reason why it cannot be')
    .action(async (name: string | undefined, options: Options) => {
      const { server } = options;
      const cluster = openCluster(requireConfig(options.config));
      oneOf(cluster, name, options);
      await perform(cluster, options, `no volume prefers ${server}`, (views, servers) =>
        server === undefined
          ? views
              .filter(({ config }) => config.name === name)
              .map((view) => planTake(view, servers, view.config.servers[0]))
          : plansBack(server, views, servers),
      );
    });
}

/** Either a volume or a server is named, and it is in the configuration. */
export function oneOf(cluster: Cluster, name: string | undefined, { server }: { readonly server?: string }): void {
  if ((name === undefined) === (server === undefined))
    throw new Failure(ExitCode.usage, 'name either a volume or, with --server, a server');
  if (name !== undefined) requireVolume(cluster.config, name);
  if (server !== undefined) requireServer(cluster.config, server);
}

async function perform(
  cluster: Cluster,
  { server, dryRun }: Options,
  none: string,
  plan: (views: readonly VolumeView[], servers: readonly ServerView[]) => readonly Plan[],
): Promise<void> {
  const { servers, views } = await lookAt(cluster);
  const plans = plan(views, servers);
  if (plans.length === 0) {
    process.stdout.write(`${none}: nothing to do\n`);
    return;
  }
  if (dryRun === true) return showPlans(plans);
  const [first] = plans;
  if (server === undefined && first !== undefined) await carryOut(cluster, first);
  else await carryOutAll(cluster, plans);
}
