/** `holdfast check-config`: every mistake in the file with its line, or a short summary. */
import type { Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/load.ts';
import { formatAddress } from '../config/units.ts';
import { ExitCode, Failure } from '../exit.ts';
import { judge, lookAround } from '../machine/virtual.ts';
import { paintFor, table } from '../style.ts';
import { sizeWords } from '../words.ts';
import { count, faultsAre, mistakeLine } from './common.ts';

export function addCheckConfig(program: Command): void {
  program
    .command('check-config <file>')
    .description('check a configuration and show every mistake with its line')
    .action((file: string) => {
      const loaded = faultsAre(ExitCode.failed, () => loadConfig(file));
      if (loaded.mistakes !== null) {
        for (const mistake of loaded.mistakes) process.stderr.write(`${mistakeLine(file, mistake)}\n`);
        throw new Failure(ExitCode.failed, `${file} has ${count(loaded.mistakes.length, 'mistake')}`);
      }
      process.stdout.write(`${summary(loaded.config)}\n`);
    });
}

/** A cluster in a few lines. */
function summary(config: Config): string {
  const paint = paintFor(process.stdout);
  const { servers, media, volumes } = config;
  const head = `cluster ${config.cluster}: ${count(servers.length, 'server')}, ${count(media.length, 'medium').replace('mediums', 'media')}, ${count(volumes.length, 'volume')}`;
  const rows = volumes.map((volume) => [
    `  ${paint('strong', volume.name)}`,
    sizeWords(volume),
    `at ${formatAddress(volume.address)}`,
    `on ${volume.medium.name}`,
    `${volume.servers.join(' > ')}${volume.servers.length === 1 ? paint('warn', ' (no partner: not mirrored)') : ''}`,
    volume.store === 'memory' ? paint('warn', 'memory') : volume.store,
    volume.degraded,
    `reads ${volume.reads ?? 'by machine'}`,
  ]);
  const lines = [`${paint('good', 'ok')}  ${head}`, ...table(rows)];
  if (volumes.some((volume) => volume.reads === null)) {
    const { virtual, why } = judge(lookAround());
    lines.push(paint('dim', `  reads by machine: ${virtual ? 'confirmed' : 'leased'} on this one, ${why}`));
  }
  return lines.join('\n');
}
