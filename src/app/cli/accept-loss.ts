/**
 * `holdfast accept-loss`: the one explicit command that gives up what no copy is left of. Without --yes it only tells
 * what would be given up.
 */
import type { Command } from 'commander';
import { Fault } from '../../base/fault.ts';
import { exitCodeOf, ExitCode, Failure } from '../exit.ts';
import { askAll, configOption, openCluster, requireConfig, requireVolume, toFailure, volumeViews } from './common.ts';

interface Options {
  readonly config: string;
  readonly yes?: boolean;
}

export function addAcceptLoss(program: Command): void {
  program
    .command('accept-loss <volume>')
    .description('give up acknowledged writes that no copy is left of, so that the volume serves again')
    .addOption(configOption())
    .option('--yes', 'accept it; without this, only what would be lost is shown')
    .action(async (name: string, options: Options) => {
      const cluster = openCluster(requireConfig(options.config));
      requireVolume(cluster.config, name);
      const servers = await askAll(cluster);
      const view = volumeViews(cluster.config, servers).find((one) => one.config.name === name);
      if (servers.every((one) => one.answer === null)) {
        throw new Failure(ExitCode.unreachable, servers.map((one) => one.silence).join('\n'));
      }
      const found = [...(view?.byServer ?? [])].find(([, status]) => status.loss !== null);
      if (found === undefined)
        throw new Failure(
          ExitCode.refused,
          `nothing of the volume "${name}" is lost, as far as the servers that answer know`,
        );
      const [server, status] = found;
      process.stdout.write(`${status.loss}\n`);
      const silent = servers.filter((one) => one.answer === null).map((one) => one.server.name);
      if (silent.length > 0) {
        process.stdout.write(
          `Not asked, because no answer came: ${silent.join(', ')}. A copy there may still be complete.\n`,
        );
      }
      if (options.yes !== true) {
        throw new Failure(ExitCode.refused, 'nothing was changed: `--yes` accepts this loss, and it cannot be undone');
      }
      try {
        await cluster.client(server).acceptLoss(name);
      } catch (error) {
        if (error instanceof Fault) throw new Failure(exitCodeOf(error), error.message, error);
        throw toFailure(error);
      }
      process.stdout.write(`The loss is accepted and noted in the volume's record; ${server} claims the volume now.\n`);
    });
}
