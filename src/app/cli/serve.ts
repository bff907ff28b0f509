/** `holdfast serve`: one server of the cluster, until a signal. */
import type { Command } from 'commander';
import { ExitCode } from '../exit.ts';
import { configOption, requireConfig, requireServer } from './common.ts';

interface Options {
  readonly config: string;
  readonly server: string;
}

export function addServe(program: Command): void {
  program
    .command('serve')
    .description('run one server; SIGTERM hands its volumes over and ends it')
    .addOption(configOption())
    .requiredOption('-s, --server <name>', 'which of the servers in the configuration this is')
    .action(async (options: Options) => {
      // Started by the demo: a server of it must not outlive it, however it ends.
      if (process.env['HOLDFAST_ENDS_WITH_PARENT'] === '1') {
        process.once('disconnect', () => process.exit(ExitCode.interrupted));
        process.channel?.unref();
      }
      const config = requireConfig(options.config);
      // Loaded only here: the other commands start faster without the drivers.
      const { runServer } = await import('../life.ts');
      const code = await runServer(config, requireServer(config, options.server));
      // Clients' sockets that are still closing must not hold up the end.
      process.exit(code);
    });
}
