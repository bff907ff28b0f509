/**
 * The coordinator `directory`: the volumes' records and the servers' entries as small files in a directory that all
 * servers reach, usually that of a directory medium:
 *
 *     holdfast-coordinator.json       made by `createCoordinator`
 *     volumes/NAME/record/V.json      the versions of the volume's record (record-directory.ts)
 *     servers/NAME.json               the server's heartbeat entry, replaced by renaming
 *
 * Only the explicit create commands create anything but versions and entries: a directory where the mount is missing
 * has no records, and gets none.
 *
 * An entry is replaced by write and rename, without fsync: only its movement and its content count. After a loss of
 * power it may be torn; it then says nothing, as if it had never been written (`missing`), until its server writes again.
 */
import { readdir, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { assert, type Done, Fault, type Result } from '../../base/fault.ts';
import type { ServerId, VolumeName } from '../../base/names.ts';
import type { Clock, Ids } from '../../ports/clock.ts';
import type { Coordinator, ServerEntry, SwapOutcome, VolumeRecord } from '../../ports/coordinator.ts';
import { Deadline, PROBE_DEADLINE_MS } from '../linux/deadline.ts';
import { createFile, ensureDirectory } from '../linux/durable.ts';
import { errorCode, faultOfError } from '../linux/errno.ts';
import { settle, settleDone } from '../linux/settle.ts';
import { checkName, readBounded } from '../linux/small-files.ts';
import { decodeEntry, encodeEntry, FILE_BYTES_MAX } from './codec.ts';
import { BRIEF, probeDirectory, THOROUGH } from './probe.ts';
import { REAL_FILES, RecordDirectory, type RecordFiles, type Swapped } from './record-directory.ts';
import { SharedReading, Turns } from './turns.ts';

/** Readings at a time, of all volumes and entries together. */
const READINGS = 4;
/** Waiting readings: one for each of 64 volumes and 16 servers, twice over. */
const READINGS_WAITING_MAX = 160;
/** Swaps of one volume that wait for the one before: the core has one on its way, and gives up on a few that hang. */
const SWAPS_WAITING_MAX = 8;

export interface DirectoryCoordinatorOptions {
  readonly directory: string;
  /** This server: its entry and its probe's files are named after it. */
  readonly server: ServerId;
  /** Whether other machines use the directory too; the probe is stricter then. */
  readonly sharing: 'host' | 'machines';
  readonly clock: Clock;
  /** Milliseconds after which a probe that has not answered has failed; PROBE_DEADLINE_MS if left out. */
  readonly probeDeadlineMs?: number;
  /** The file operations of the records; another one only in tests. */
  readonly files?: RecordFiles;
}

/** What this server keeps for one volume. */
interface VolumeState {
  readonly records: RecordDirectory;
  readonly reading: SharedReading<VolumeRecord>;
  readonly swaps: Turns;
}

export class DirectoryCoordinator implements Coordinator {
  readonly #options: DirectoryCoordinatorOptions;
  readonly #probe: Deadline;
  readonly #volumes = new Map<VolumeName, VolumeState>();
  readonly #entries = new Map<ServerId, SharedReading<ServerEntry>>();
  readonly #readings = new Turns(READINGS, READINGS_WAITING_MAX);
  /** The entry that follows the one being written. */
  #nextEntry: { readonly entry: ServerEntry; readonly done: Done } | null = null;
  #writing = false;
  /** The file system that passed the last probe, as its device. */
  #trusted: bigint | null = null;

  constructor(options: DirectoryCoordinatorOptions) {
    checkName(options.server, 'server');
    this.#options = options;
    const deadlineMs = options.probeDeadlineMs ?? PROBE_DEADLINE_MS;
    this.#probe = new Deadline(options.clock, deadlineMs, `the coordinator in ${options.directory}`);
  }

  read(volume: VolumeName, done: Result<VolumeRecord>): void {
    settle(this.#read(volume), `Reading the record of ${volume}`, done);
  }

  swap(volume: VolumeName, next: VolumeRecord, done: (outcome: SwapOutcome, fault: Fault | null) => void): void {
    settle(this.#swap(volume, next), `Swapping the record of ${volume}`, (fault, swapped) => {
      // Only a swap that did not begin ends with a fault of its own.
      if (swapped === null) done('conflict', fault);
      else done(swapped.outcome, swapped.fault);
    });
  }

  /** Entries are written one at a time; one that is overtaken by a newer one before its turn ends with fault `retry`. */
  writeEntry(entry: ServerEntry, done: Done): void {
    assert(entry.server === this.#options.server, 'a server writes its own entry');
    const overtaken = this.#nextEntry;
    this.#nextEntry = { entry, done };
    if (overtaken !== null) {
      process.nextTick(overtaken.done, new Fault('retry', 'A newer entry was written instead of this one.'));
    }
    this.#writeNextEntry();
  }

  readEntry(server: ServerId, done: Result<ServerEntry>): void {
    settle(this.#readEntry(server), `Reading the entry of ${server}`, done);
  }

  /**
   * Is this a coordinator's directory, and does its file system do what the records rest on? Tried thoroughly at first, and after
   * any failure; then every promise once, for a server asks every other second.
   */
  probe(done: Done): void {
    const { directory, server, sharing } = this.#options;
    this.#probe.run(async () => {
      await checkMarker(directory);
      const servers = join(directory, 'servers');
      const { dev } = await stat(servers, { bigint: true });
      const effort = this.#trusted === dev ? BRIEF : THOROUGH;
      this.#trusted = null;
      await probeDirectory(servers, server, sharing, effort);
      this.#trusted = dev;
    }, done);
  }

  /**
   * Creates the volume's record, its first version; for an explicit create command alone. Throws Fault `conflict`
   * when there is one, `missing` when this is no coordinator's directory, `io` and others of the file system.
   */
  async create(volume: VolumeName, first: VolumeRecord): Promise<void> {
    assert(first.version === 1, 'the first version of a record is 1');
    const { directory } = this.#options;
    checkName(volume, 'volume');
    await checkMarker(directory);
    try {
      await ensureDirectory(join(directory, 'volumes', volume));
      await ensureDirectory(join(directory, 'volumes', volume, 'record'));
    } catch (error) {
      throw faultOfError(error, `Creating the record of ${volume} in ${directory}`);
    }
    const { outcome, fault } = await this.#swap(volume, first);
    if (outcome === 'done') return;
    throw fault ?? new Fault('conflict', `The volume ${volume} has a record in ${directory} already.`);
  }

  /** The volumes that have a record, by name. Throws Fault `missing`, `io`. */
  async listVolumes(): Promise<readonly VolumeName[]> {
    const { directory } = this.#options;
    await checkMarker(directory);
    const found: VolumeName[] = [];
    for (const name of await namesIn(join(directory, 'volumes'))) {
      const records = new RecordDirectory(name as VolumeName, join(directory, 'volumes', name, 'record'));
      const versions = await records.versions().catch((error: unknown) => {
        if (error instanceof Fault && error.kind === 'missing') return [];
        throw error;
      });
      if (versions.length > 0) found.push(name as VolumeName);
    }
    return found.sort();
  }

  async #read(volume: VolumeName): Promise<VolumeRecord> {
    return this.#state(volume).reading.fresh();
  }

  async #swap(volume: VolumeName, next: VolumeRecord): Promise<Swapped> {
    const { records, swaps } = this.#state(volume);
    return swaps.run(() => records.swap(next));
  }

  async #readEntry(server: ServerId): Promise<ServerEntry> {
    let reading = this.#entries.get(server);
    if (reading === undefined) {
      checkName(server, 'server');
      const path = this.#entryOf(server);
      reading = new SharedReading(() => this.#readings.run(() => readEntryFile(server, path)));
      this.#entries.set(server, reading);
    }
    return reading.fresh();
  }

  #writeNextEntry(): void {
    const next = this.#nextEntry;
    if (next === null || this.#writing) return;
    this.#nextEntry = null;
    this.#writing = true;
    const path = this.#entryOf(next.entry.server);
    settleDone(replaceFile(path, encodeEntry(next.entry)), `Writing the entry ${path}`, (fault) => {
      this.#writing = false;
      next.done(fault);
      this.#writeNextEntry();
    });
  }

  #entryOf(server: ServerId): string {
    return join(this.#options.directory, 'servers', `${server}.json`);
  }

  #state(volume: VolumeName): VolumeState {
    const known = this.#volumes.get(volume);
    if (known !== undefined) return known;
    checkName(volume, 'volume');
    const path = join(this.#options.directory, 'volumes', volume, 'record');
    const records = new RecordDirectory(volume, path, this.#options.files ?? REAL_FILES);
    const reading = new SharedReading(() => this.#readings.run(() => records.read()));
    const state = { records, reading, swaps: new Turns(1, SWAPS_WAITING_MAX) };
    this.#volumes.set(volume, state);
    return state;
  }
}

const marker = z.strictObject({
  format: z.literal('holdfast-coordinator-1'),
  id: z.string().regex(/^[0-9a-f]{32}$/),
  created: z.iso.datetime(),
});

/**
 * Makes the directory, which is created if only its parent exists, a coordinator's; for an explicit create command
 * alone. Throws Fault `conflict` when it is one already.
 */
export async function createCoordinator(directory: string, ids: Ids): Promise<void> {
  try {
    await ensureDirectory(directory);
    await ensureDirectory(join(directory, 'volumes'));
    await ensureDirectory(join(directory, 'servers'));
    const content: z.output<typeof marker> = {
      format: 'holdfast-coordinator-1',
      id: ids.draw(),
      created: new Date().toISOString(),
    };
    await createFile(markerOf(directory), `${JSON.stringify(content, null, 2)}\n`);
  } catch (error) {
    if (errorCode(error) === 'EEXIST') {
      throw new Fault('conflict', `There is a coordinator in ${directory} already.`, error);
    }
    throw faultOfError(error, `Creating the coordinator in ${directory}`);
  }
}

/** Whether `createCoordinator` made the directory a coordinator's. Throws Fault `corrupt`, `io`. */
export async function isCoordinator(directory: string): Promise<boolean> {
  try {
    await checkMarker(directory);
    return true;
  } catch (error) {
    if (error instanceof Fault && error.kind === 'missing') return false;
    throw error;
  }
}

async function checkMarker(directory: string): Promise<void> {
  const path = markerOf(directory);
  const text = await readBounded(path, FILE_BYTES_MAX, `coordinator in ${directory}`);
  if (!marker.safeParse(parsed(text)).success) {
    throw new Fault('corrupt', `${path} is not what this version makes: is it another version's?`);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function markerOf(directory: string): string {
  return join(directory, 'holdfast-coordinator.json');
}

async function readEntryFile(server: ServerId, path: string): Promise<ServerEntry> {
  const text = await readBounded(path, FILE_BYTES_MAX, `entry of the server ${server}`);
  let entry: ServerEntry;
  try {
    entry = decodeEntry(text, path);
  } catch (cause) {
    throw new Fault('missing', `The entry of the server ${server} is not whole: a loss of power tore it.`, cause);
  }
  if (entry.server === server) return entry;
  throw new Fault('corrupt', `${path} is the entry of another server, ${entry.server}.`);
}

/** The file holds `content` afterwards; whoever reads it sees the old or the new content, whole. Not made durable. */
async function replaceFile(path: string, content: string): Promise<void> {
  const prepared = `${path}.new`;
  await writeFile(prepared, content);
  await rename(prepared, path);
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    throw faultOfError(error, `Listing ${directory}`);
  }
}
