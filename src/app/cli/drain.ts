/**
 * `holdfast drain`: everything that a volume's owner holds is written to the medium now, while clients are served on;
 * for a snapshot of the medium, or before a machine is taken away.
 */
import type { Command } from 'commander';
import { Fault } from '../../base/fault.ts';
import { formatBytes, formatMs } from '../config/units.ts';
import { exitCodeOf, ExitCode, Failure } from '../exit.ts';
import { paintFor } from '../style.ts';
import { lookAt } from './carry-out.ts';
import { configOption, openCluster, requireConfig, toFailure } from './common.ts';
import type { Cluster } from './common.ts';
import { oneOf } from './takeover.ts';

interface Options {
  readonly config: string;
  readonly server?: string;
}

export function addDrain(program: Command): void {
  program
    .command('drain [volume]')
    .description(
      "write to the medium what a volume's owner holds, or all volumes of a server, while clients are served",
    )
    .addOption(configOption())
    .option('--server <server>', 'instead of one volume: all that this server owns, one after the other')
    .action(async (name: string | undefined, options: Options) => {
      const cluster = openCluster(requireConfig(options.config));
      oneOf(cluster, name, options);
      const { views } = await lookAt(cluster);
      const wanted = views.filter(({ config, best }) =>
        name === undefined ? best?.owner === options.server : config.name === name,
      );
      if (wanted.length === 0) process.stdout.write(`${options.server} owns no volume: nothing to do\n`);
      for (const { config, best, byServer } of wanted) {
        const owner = best?.owner ?? null;
        if (owner === null || byServer.get(owner)?.role !== 'owner') {
          const why = best === null ? 'no server that answers knows it' : (best.why ?? 'nobody serves it');
          throw new Failure(ExitCode.refused, `the volume "${config.name}" has no owner that could be asked: ${why}`);
        }
        await drain(cluster, config.name, owner);
      }
    });
}

async function drain(cluster: Cluster, volume: string, owner: string): Promise<void> {
  const paint = paintFor(process.stdout);
  const startedMs = performance.now();
  const since = (): string => paint('dim', formatMs(performance.now() - startedMs).padStart(8));
  try {
    const { bytes } = await cluster
      .client(owner)
      .drain(volume, (text) => process.stdout.write(`${since()}  ${text}\n`));
    const what = bytes === 0 ? 'nothing was left to write' : `${formatBytes(bytes)} are on the medium now`;
    process.stdout.write(`${since()}  ${paint('strong', volume)} of ${owner}: ${paint('good', 'drained')}, ${what}\n`);
  } catch (error) {
    if (error instanceof Fault)
      throw new Failure(exitCodeOf(error), `the volume "${volume}" is not drained: ${error.message}`, error);
    throw toFailure(error);
  }
}
