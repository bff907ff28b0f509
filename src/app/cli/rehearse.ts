/**
 * `holdfast rehearse`: takes a volume over and gives it back, so that one knows before the night that it works, and how
 * long clients wait. Where the volume is served over NBD and can be reached from here, a client of the command's own
 * reads all the while, and its longest wait is what clients feel.
 */
import type { Command } from 'commander';
import { setTimeout as pause } from 'node:timers/promises';
import type { VolumeConfig } from '../config/load.ts';
import { formatMs } from '../config/units.ts';
import { NbdSession } from '../demo/nbd-client.ts';
import { ExitCode, Failure } from '../exit.ts';
import { paintFor } from '../style.ts';
import { carryOut, lookAt, showPlans } from './carry-out.ts';
import { configOption, openCluster, requireConfig, requireServer, requireVolume } from './common.ts';
import type { Cluster } from './common.ts';
import { planTake } from './plan.ts';
import type { Plan } from './plan.ts';

/** How long the mirror may take to be in sync again before the volume is given back. */
const IN_SYNC_MS = 120_000;
const LOOK_MS = 100;
/** Between two reads of the measuring client: what it adds to the measured wait at most. */
const READ_PAUSE_MS = 1;
const RECONNECT_MS = 5;

interface Options {
  readonly config: string;
  readonly to?: string;
  readonly dryRun?: boolean;
}

export function addRehearse(program: Command): void {
  program
    .command('rehearse <volume>')
    .description('take a volume over and give it back, and measure how long clients wait')
    .addOption(configOption())
    .option('--to <server>', 'the server that takes it over; left out: the first that can')
    .option('--dry-run', 'only say what would be done, or every reason why it cannot be')
    .action(async (name: string, options: Options) => {
      const cluster = openCluster(requireConfig(options.config));
      const volume = requireVolume(cluster.config, name);
      if (options.to !== undefined) requireServer(cluster.config, options.to);
      const there = await planOf(cluster, name, options.to);
      if (options.dryRun === true) return showPlans([there]);
      if (there.nothingToDo)
        throw new Failure(ExitCode.refused, `${there.from} owns the volume "${name}": name another server, or none`);
      if (there.to === null || there.reasons.length > 0) return showPlans([there]);
      await rehearse(cluster, volume, there);
    });
}

async function planOf(cluster: Cluster, name: string, to?: string): Promise<Plan> {
  const { servers, views } = await lookAt(cluster);
  const view = views.find(({ config }) => config.name === name);
  if (view === undefined) throw new Error(`broken invariant: volume ${name} is in the configuration`);
  return planTake(view, servers, to);
}

async function rehearse(cluster: Cluster, volume: VolumeConfig, there: Plan): Promise<void> {
  const paint = paintFor(process.stdout);
  const out = (text: string): void => void process.stdout.write(`${text}\n`);
  const client = volume.type === 'block' ? await Watcher.begin(volume) : null;
  if (client === null) out(paint('warn', 'no client of this command can reach the volume: only the servers measure'));
  try {
    const first = await carryOut(cluster, there);
    const felt = client?.longestMs() ?? null;
    out(paint('dim', 'waits until the mirror is in sync again'));
    await untilInSync(cluster, volume.name, there.from);
    client?.reset();
    const second = await carryOut(cluster, await planOf(cluster, volume.name, there.from));
    const back = client?.longestMs() ?? null;
    const line = (way: string, pauseMs: number, clientMs: number | null): string =>
      `${way}: the servers say ${paint('strong', formatMs(pauseMs))}` +
      (clientMs === null ? '' : `, a reading client waited ${paint('strong', formatMs(clientMs))} at most`);
    out(line(`there, ${there.from} to ${there.to ?? ''}`, first?.pauseMs ?? 0, felt));
    out(line(`back,  ${there.to ?? ''} to ${there.from}`, second?.pauseMs ?? 0, back));
  } finally {
    client?.end();
  }
}

/** The volume can be given back once what its old owner has is a complete copy again. */
async function untilInSync(cluster: Cluster, name: string, home: string): Promise<void> {
  const deadlineMs = performance.now() + IN_SYNC_MS;
  for (;;) {
    const { views } = await lookAt(cluster);
    const best = views.find(({ config }) => config.name === name)?.best ?? null;
    if (best?.serving === true && best.mirror === 'in-sync' && best.partner === home) return;
    if (performance.now() > deadlineMs) {
      const why = `${home} is not its partner in sync after ${IN_SYNC_MS / 1_000} s; \`holdfast giveback ${name}\` takes it back later`;
      throw new Failure(ExitCode.failed, `the volume "${name}" stays with ${best?.owner ?? 'nobody'}: ${why}`);
    }
    await pause(LOOK_MS);
  }
}

/** A client that reads the first block again and again and reconnects when it is cut off, as clients do. */
class Watcher {
  readonly #volume: VolumeConfig;
  #session: NbdSession | null;
  #answeredMs = performance.now();
  #longestMs = 0;
  #over = false;

  private constructor(volume: VolumeConfig, session: NbdSession) {
    this.#volume = volume;
    this.#session = session;
  }

  /** Null when the volume cannot be reached from here. */
  static async begin(volume: VolumeConfig): Promise<Watcher | null> {
    try {
      const watcher = new Watcher(volume, await open(volume));
      void watcher.#run();
      return watcher;
    } catch {
      return null;
    }
  }

  /** The longest time between two answers since the last `reset`, in ms, the one that goes on included. */
  longestMs(): number {
    return Math.max(this.#longestMs, performance.now() - this.#answeredMs);
  }

  reset(): void {
    this.#longestMs = 0;
  }

  end(): void {
    this.#over = true;
    this.#session?.close();
  }

  async #run(): Promise<void> {
    while (!this.#over) {
      try {
        this.#session ??= await open(this.#volume);
        await this.#session.read(0, 4_096);
        const nowMs = performance.now();
        this.#longestMs = Math.max(this.#longestMs, nowMs - this.#answeredMs);
        this.#answeredMs = nowMs;
        await pause(READ_PAUSE_MS);
      } catch {
        this.#session?.close();
        this.#session = null;
        await pause(RECONNECT_MS);
      }
    }
  }
}

const open = ({ address, name }: VolumeConfig): Promise<NbdSession> =>
  NbdSession.open(address.host, address.port, name);
