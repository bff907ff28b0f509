/**
 * `holdfast volume`: creates volumes, the only command that creates anything on a medium or at the coordinator, and
 * shows what the records say. It works on medium and coordinator themselves: no server needs to run.
 */
import type { Command } from 'commander';
import { Fault } from '../../base/fault.ts';
import type { VolumeRecord } from '../../ports/coordinator.ts';
import type { Config, VolumeConfig } from '../config/load.ts';
import { formatAddress, formatBytes } from '../config/units.ts';
import { ExitCode, Failure } from '../exit.ts';
import { paintFor, table } from '../style.ts';
import { mountCommand, sizeWords, volumeUri } from '../words.ts';
import { configOption, openCluster, requireConfig, requireVolume } from './common.ts';

interface Options {
  readonly config: string;
  readonly createMedium?: boolean;
  readonly createCoordinator?: boolean;
  readonly adopt?: boolean;
  readonly json?: boolean;
}

export function addVolume(program: Command): void {
  const volume = program.command('volume').description('create volumes, and show what their records say');
  volume
    .command('create <volume>')
    .description("make the volume's image or directory on its medium and its record at the coordinator, once")
    .addOption(configOption())
    .option('--create-medium', 'give the medium its identity first: once in the life of a medium')
    .option('--create-coordinator', 'make the directory of the coordinator first, where it is not on that medium')
    .option('--adopt', 'take an image that is there already, with its data, as the content of the volume')
    .action(async (name: string, options: Options) => {
      const config = requireConfig(options.config);
      const found = requireVolume(config, name);
      const { createVolume } = await import('../volumes.ts');
      const made = await createVolume(config, found, options);
      const where = `${found.medium.name} (${found.medium.path})`;
      process.stdout.write(
        `The ${found.type} volume "${name}"${found.type === 'block' ? ` of ${sizeWords(found)}` : ''} is created on the medium ${where}, id ${made.mediumId}.\n`,
      );
      await tellServers(config, found);
    });
  volume
    .command('list')
    .description('every volume of the configuration, and what its record says')
    .addOption(configOption())
    .action(async (options: Options) => {
      const config = requireConfig(options.config);
      const { readRecord } = await import('../volumes.ts');
      const rows = await Promise.all(config.volumes.map(async (one) => listRow(one, await readRecord(config, one))));
      const paint = paintFor(process.stdout);
      const head = ['volume', 'size', 'medium', 'address', 'owner', 'mirror'].map((word) => paint('dim', word));
      process.stdout.write(`${table([head, ...rows]).join('\n')}\n`);
    });
  volume
    .command('info <volume>')
    .description('everything about one volume: its configuration and its record')
    .addOption(configOption())
    .option('--json', 'as JSON')
    .action(async (name: string, options: Options) => {
      const config = requireConfig(options.config);
      const found = requireVolume(config, name);
      const { readRecord } = await import('../volumes.ts');
      const record = await readRecord(config, found);
      if (options.json === true) process.stdout.write(`${JSON.stringify({ config: found, record }, null, 2)}\n`);
      else process.stdout.write(`${infoText(config, found, record)}\n`);
      if (record === null)
        throw new Failure(
          ExitCode.refused,
          `the volume "${name}" was never created: \`holdfast volume create ${name}\``,
        );
    });
}

/** Servers that run already take part for the volume at once; of the others it is said when they will. */
async function tellServers(config: Config, volume: VolumeConfig): Promise<void> {
  const cluster = openCluster(config);
  const words = await Promise.all(
    volume.servers.map(async (server) => {
      try {
        const { added, remarks } = await cluster.client(server).reload();
        if (added.includes(volume.name)) return `${server} takes part for it now`;
        const about = remarks.filter((remark) => remark.includes(`"${volume.name}"`));
        if (about.length === 0) return `${server} takes part for it already`;
        return `${server} runs, and does not take part for it: ${about.join('; ')}`;
      } catch (error) {
        if (!(error instanceof Fault))
          return `${server} does not run, as far as can be seen: it takes part once it is started`;
        return `${server} runs, and does not take part for it: ${error.message}; start it anew`;
      }
    }),
  );
  for (const word of words) process.stdout.write(`  ${word}\n`);
}

function listRow(volume: VolumeConfig, record: VolumeRecord | null): string[] {
  const paint = paintFor(process.stdout);
  const known = [volume.name, sizeWords(volume), volume.medium.name, formatAddress(volume.address)];
  if (record === null) return [...known, '', paint('warn', 'never created')];
  const mirror = paint(record.mirror === 'in-sync' ? 'good' : 'warn', record.mirror);
  return [...known, record.owner?.server ?? 'nobody', mirror];
}

function infoText(config: Config, volume: VolumeConfig, record: VolumeRecord | null): string {
  const paint = paintFor(process.stdout);
  const rows: [string, string][] = [
    ...typeRows(volume),
    ['address', `${formatAddress(volume.address)}, ${volumeUri(volume)}`],
    ['medium', `${volume.medium.name}: ${volume.medium.driver} ${volume.medium.path}`],
    ['servers', volume.servers.join(' > ')],
    ['store', `${volume.store}, ${formatBytes(volume.capacityBytes)}`],
    ['degraded', volume.degraded],
    ['records', config.coordinatorDirectory],
  ];
  if (record !== null) rows.push(...recordRows(record));
  return [
    paint('strong', `volume ${volume.name}`),
    ...table(rows.map(([key, value]) => [`  ${paint('dim', key)}`, value])),
  ].join('\n');
}

function typeRows(volume: VolumeConfig): [string, string][] {
  if (volume.type === 'block') return [['size', `${formatBytes(volume.sizeBytes)} (${volume.sizeBytes} bytes)`]];
  const { readOnly, squash, clients, portmapper } = volume.export;
  const networks = clients?.map(({ text }) => text).join(' ') ?? 'every address';
  const access = `${readOnly ? 'read-only' : 'read and write'}, squash ${squash}, for ${networks}`;
  return [
    ['type', 'files'],
    ['export', `${access}${portmapper ? ', registered with the portmapper' : ''}`],
    ['mount', mountCommand(volume, `/mnt/${volume.name}`)],
  ];
}

function recordRows(record: VolumeRecord): [string, string][] {
  const source = record.source?.stores.map((store) => `${store.server} (store ${store.store})`).join(', ');
  const rows: [string, string][] = [
    ['medium id', record.mediumId],
    ['record', `version ${record.version}: ${record.why}`],
    ['owner', record.owner === null ? 'nobody yet' : `${record.owner.server}, store ${record.ownerStore ?? 'none'}`],
    ['partner', record.partner === null ? 'none' : `${record.partner}, store ${record.partnerStore ?? 'none'}`],
    ['epoch', `${record.epoch}, generation ${record.generation}`],
    ['mirror', record.mirror],
  ];
  if (source !== undefined) rows.push(['replays from', source]);
  for (const loss of record.losses) rows.push(['accepted loss', loss]);
  return rows;
}
