/**
 * Volumes that come while a server runs: those of the configuration that are created later, and those that a changed
 * configuration file names. Nothing else of a running server's configuration changes; what else is new in the file is
 * told, and waits for the next start.
 */
import { Fault } from '../base/fault.ts';
import type { VolumeName } from '../base/names.ts';
import type { Coordinator, VolumeRecord } from '../ports/coordinator.ts';
import type { Config, VolumeConfig } from './config/load.ts';
import { loadConfig } from './config/load.ts';
import { settled } from './exit.ts';
import type { Log } from './log.ts';

/** How often the coordinator is asked whether a volume has been created, ms. */
const LOOK_MS = 5_000;

/** What came of reading the configuration again. */
export interface Reloaded {
  /** Volumes for which this server takes part now and did not before. */
  readonly added: readonly string[];
  /** What did not come to be, or waits for a restart: sentences. */
  readonly remarks: readonly string[];
}

export interface LateVolumesOptions {
  /** As the server was started. */
  readonly config: Config;
  readonly server: string;
  readonly coordinator: Coordinator;
  readonly log: Log;
  /** Of the configuration, and not created when the server started. */
  readonly missing: readonly VolumeConfig[];
  /** Opens what the volume needs and takes part for it. Throws a Fault when that does not work. */
  readonly join: (volume: VolumeConfig, record: VolumeRecord) => Promise<void>;
}

export class LateVolumes {
  readonly #options: LateVolumesOptions;
  /** By name; those that this server takes part for are not among them. */
  readonly #missing: Map<string, VolumeConfig>;
  /** Everything known so far, by name, as this server goes by it. */
  readonly #known: Map<string, VolumeConfig>;
  /** One look at a time. */
  #turn: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: LateVolumesOptions) {
    this.#options = options;
    this.#missing = new Map(options.missing.map((volume) => [volume.name, volume]));
    this.#known = new Map(options.config.volumes.map((volume) => [volume.name, volume]));
  }

  /** Looks for missing volumes again and again, until closed. */
  start(): void {
    this.#timer = setInterval(() => {
      if (this.#missing.size > 0) void this.#inTurn(() => this.#look());
    }, LOOK_MS).unref();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  /** Reads the configuration file again and looks at once. Throws a Fault when the file is not one without a mistake. */
  reload(): Promise<Reloaded> {
    return this.#inTurn(async () => {
      const loaded = loadConfig(this.#options.config.file);
      if (loaded.mistakes !== null) {
        const lines = loaded.mistakes.map(({ line, text }) => `line ${line}: ${text}`);
        throw new Fault(
          'refused',
          `${this.#options.config.file} has mistakes, nothing was changed: ${lines.join('; ')}`,
        );
      }
      const remarks = this.#takeUp(loaded.config);
      const { added, faults } = await this.#look();
      const waiting = [...this.#missing.keys()].filter((name) => !faults.has(name));
      for (const name of waiting)
        remarks.push(`volume "${name}" has not been created: \`holdfast volume create ${name}\``);
      remarks.push(...faults.values());
      this.#options.log.note('config.reloaded', { added: added.join(' '), remarks: remarks.join('; ') });
      return { added, remarks };
    });
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(run);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  /** New volumes of this server are looked for from now on; everything else that differs is told. */
  #takeUp(fresh: Config): string[] {
    const { config, server } = this.#options;
    const remarks: string[] = [];
    const waits = (what: string): void =>
      void remarks.push(`${what}: this takes effect when ${server} is started anew`);
    const servers = new Set(config.servers.map(({ name }) => name));
    for (const part of ['cluster', 'keyFile', 'coordinatorDirectory', 'servers', 'timings'] as const) {
      if (!same(fresh[part], config[part])) waits(`${PARTS[part]} changed`);
    }
    const names = new Set(fresh.volumes.map(({ name }) => name));
    for (const known of this.#known.values()) if (!names.has(known.name)) waits(`volume "${known.name}" is gone`);
    for (const volume of fresh.volumes) {
      const known = this.#known.get(volume.name);
      if (known !== undefined) {
        if (!same(known, volume)) waits(`volume "${volume.name}" changed`);
        continue;
      }
      if (!volume.servers.includes(server)) continue;
      const stranger = volume.servers.find((name) => !servers.has(name));
      if (stranger !== undefined) {
        waits(`volume "${volume.name}" is for the new server "${stranger}"`);
        continue;
      }
      this.#known.set(volume.name, volume);
      this.#missing.set(volume.name, volume);
    }
    return remarks;
  }

  async #look(): Promise<{ readonly added: readonly string[]; readonly faults: ReadonlyMap<string, string> }> {
    const added: string[] = [];
    const faults = new Map<string, string>();
    for (const volume of this.#missing.values()) {
      if (this.#closed) break;
      try {
        const record = await settled<VolumeRecord>((settle) =>
          this.#options.coordinator.read(volume.name as VolumeName, settle),
        );
        await this.#options.join(volume, record);
        this.#missing.delete(volume.name);
        added.push(volume.name);
        this.#options.log.note('volume.joined', { volume: volume.name });
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        if (error.kind === 'missing') continue;
        faults.set(volume.name, `volume "${volume.name}" cannot be served here: ${error.message}`);
        this.#options.log.note('volume.join-failed', { volume: volume.name, why: error.message });
      }
    }
    return { added, faults };
  }
}

const PARTS = {
  cluster: "the cluster's name",
  keyFile: 'the place of the key',
  coordinatorDirectory: 'the place of the records',
  servers: 'a table of a server',
  timings: 'a timing',
} as const;

/** Both come from the same parser, with their keys in the same order. */
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
