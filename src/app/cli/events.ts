/** `holdfast events`: what the servers told of late, in the order of their time of day. */
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { setTimeout as pause } from 'node:timers/promises';
import { ExitCode, Failure } from '../exit.ts';
import type { PastEvent } from '../history.ts';
import { padEnd, paintFor } from '../style.ts';
import type { Paint, Tone } from '../style.ts';
import { configOption, openCluster, requireConfig, requireServer, requireVolume } from './common.ts';
import type { Cluster } from './common.ts';

const FOLLOW_MS = 500;
const MOST = 1_000;

/** An event, and who told of it. */
export type ToldEvent = PastEvent & { readonly server: string };

interface Options {
  readonly config: string;
  readonly json?: boolean;
  readonly last: number;
  readonly volume?: string;
  readonly server?: string;
  readonly follow?: boolean;
}

export function addEvents(program: Command): void {
  program
    .command('events')
    .description('show what the servers told of late, also before their last start')
    .addOption(configOption())
    .option('--json', 'as JSON, one line for each event')
    .option('-n, --last <number>', 'how many', numberOf, 50)
    .option('--volume <volume>', 'only of this volume')
    .option('--server <server>', 'only by this server')
    .option('-f, --follow', 'go on until Ctrl-C')
    .action(async (options: Options) => {
      const cluster = openCluster(requireConfig(options.config));
      if (options.volume !== undefined) requireVolume(cluster.config, options.volume);
      if (options.server !== undefined) requireServer(cluster.config, options.server);
      const reader = new EventReader(cluster, options.server);
      const paint = paintFor(process.stdout);
      const wanted = ({ fields }: ToldEvent): boolean =>
        options.volume === undefined || fields['volume'] === options.volume;
      const show = (events: readonly ToldEvent[]): void => {
        for (const event of events)
          process.stdout.write(`${options.json === true ? JSON.stringify(flat(event)) : eventLine(event, paint)}\n`);
      };
      show((await reader.read(MOST)).filter(wanted).slice(-options.last));
      for (const silence of reader.silences) process.stderr.write(`${paint('warn', silence)}\n`);
      if (reader.answers === 0) throw new Failure(ExitCode.unreachable, 'no server of the cluster tells of its events');
      while (options.follow === true) {
        await pause(FOLLOW_MS);
        show((await reader.read(MOST)).filter(wanted));
      }
    });
}

function numberOf(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1 || number > MOST)
    throw new InvalidArgumentError(`a number from 1 to ${MOST} is wanted`);
  return number;
}

/** As the log writes it, so that one tool reads both. */
const flat = ({ time, level, server, event, fields, number }: ToldEvent): object => {
  return { time, level, server, number, ...fields, msg: event };
};

/** Asks the servers for what is new since it asked last. */
export class EventReader {
  readonly #cluster: Cluster;
  readonly #servers: readonly string[];
  readonly #seen = new Map<string, number>();
  /** Why servers said nothing when they were asked last. */
  silences: readonly string[] = [];
  answers = 0;

  constructor(cluster: Cluster, server?: string) {
    this.#cluster = cluster;
    this.#servers = server === undefined ? cluster.config.servers.map(({ name }) => name) : [server];
  }

  /** At most `most` of each server, the oldest first. */
  async read(most: number): Promise<readonly ToldEvent[]> {
    const silences: string[] = [];
    const told = await Promise.all(
      this.#servers.map(async (server) => {
        try {
          const events = await this.#cluster.client(server).events(this.#seen.get(server) ?? 0, most);
          this.#seen.set(server, events.at(-1)?.number ?? this.#seen.get(server) ?? 0);
          return events.map((event): ToldEvent => ({ ...event, server }));
        } catch (error) {
          silences.push(`${server}: ${(error as Error).message}`);
          return [];
        }
      }),
    );
    this.silences = silences;
    this.answers = this.#servers.length - silences.length;
    return told.flat().sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  }
}

const TONES: Readonly<Record<PastEvent['level'], Tone>> = { debug: 'dim', info: 'dim', warn: 'warn', error: 'bad' };

/** `21:04:07.123  a  claim.begin  one  detector=system why="no path ..."`, in the reader's own time of day. */
export function eventLine({ time, server, event, level, fields }: ToldEvent, paint: Paint): string {
  const { volume, ...rest } = fields;
  const words = Object.entries(rest)
    .filter(([, value]) => value !== null && value !== '')
    .map(
      ([key, value]) =>
        `${key}=${typeof value === 'string' && /[\s=]/.test(value) ? JSON.stringify(value) : String(value)}`,
    );
  const at = new Date(time);
  const clock = `${at.toLocaleDateString('sv')} ${at.toLocaleTimeString('sv')}.${String(at.getMilliseconds()).padStart(3, '0')}`;
  const about = volume === undefined ? '' : `${paint('strong', String(volume))}  `;
  return `${paint('dim', clock)}  ${server}  ${paint(TONES[level], padEnd(event, 18))}  ${about}${words.join(' ')}`.trimEnd();
}
