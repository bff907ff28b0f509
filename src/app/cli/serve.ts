/** `holdfast serve`: one server of the cluster, until a signal. */
import type { Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import type { Config, VolumeConfig } from '../config/load.ts';
import { ExitCode } from '../exit.ts';
import { configOption, faultsAre, requireConfig, requireServer } from './common.ts';
import { readClusterKey } from '../key.ts';

interface Options {
  readonly config: string;
  readonly server: string;
  readonly supervisor: boolean;
}

export function addServe(program: Command): void {
  program
    .command('serve')
    .description('run one server; SIGTERM hands its volumes over and ends it')
    .addOption(configOption())
    .requiredOption('-s, --server <name>', 'which of the servers in the configuration this is')
    .option('--no-supervisor', 'without the supervisor that starts it again and tells the others when it has ended')
    .action(async (options: Options) => {
      // Started by the demo: a server of it must not outlive it, however it ends.
      if (process.env['HOLDFAST_ENDS_WITH_PARENT'] === '1') {
        process.once('disconnect', () => process.exit(ExitCode.interrupted));
        process.channel?.unref();
      }
      const config = requireConfig(options.config);
      const server = requireServer(config, options.server);
      faultsAre(ExitCode.refused, () => readClusterKey(config.keyFile));
      // Clients' sockets that are still closing must not hold up the end.
      process.exit(await (options.supervisor ? supervised : alone)(config, server));
    });
}

// Loaded only here: the other commands start faster without the drivers, and the supervisor stays small.
const alone = async (...[config, server]: Parameters<typeof supervised>): Promise<ExitCode> =>
  (await import('../life.ts')).runServer(config, server);

/** The volumes as the file has them now: some may have joined since the start. A file that is broken now changes nothing. */
function volumesNow(config: Config): readonly VolumeConfig[] {
  try {
    return loadConfig(config.file).config?.volumes ?? config.volumes;
  } catch {
    return config.volumes;
  }
}

async function supervised(
  config: ReturnType<typeof requireConfig>,
  server: ReturnType<typeof requireServer>,
): Promise<ExitCode> {
  const { supervise } = await import('../supervisor/supervisor.ts');
  const { addressMover, removeAddresses } = await import('../addresses/hooks.ts');
  const mover = addressMover(server);
  return supervise(config, server, {
    cleanUp: async (log) => {
      if (mover === null) return;
      const mine = volumesNow(config).filter((volume) => volume.servers.includes(server.name));
      await removeAddresses(mover, mine, (volume, fault) =>
        log.note('address.failed', { volume: volume.name, why: fault.message }),
      );
    },
  });
}
