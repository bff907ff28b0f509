/**
 * The coordinator port's conformance suite: a linearizable register with compare-and-swap per volume, an entry per
 * server. Run by every driver's short test and by the simulated coordinator in fine weather.
 *
 * Nothing here waits for a time: `world.step` lets the world go on a little, and the suite takes steps until what it
 * waits for has happened.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, type FaultKind } from '../src/base/fault.ts';
import type { Epoch, Generation, Incarnation, MediumId, StoreId } from '../src/base/names.ts';
import type { Sequence, ServerId, Version, VolumeName } from '../src/base/names.ts';
import type { Coordinator, ServerEntry, SwapOutcome, VolumeRecord } from '../src/ports/coordinator.ts';

/** A coordinator with one created volume, its record at version 1. */
export interface CoordinatorWorld {
  readonly volume: VolumeName;
  /** At least three. */
  readonly servers: readonly ServerId[];
  /** The coordinator as that server sees it; asked again, as a later start of the server sees it. */
  coordinatorOf(server: ServerId): Coordinator;
  /** Time goes on a little. */
  step(): Promise<void>;
  /** Removes whatever is left. */
  end(): Promise<void>;
}

/** More steps than anything here takes; reaching it means that something never happened. */
const STEPS_MAX = 2_000_000;

const hex = (seed: number): string => seed.toString(16).padStart(32, '0');

/** A record with every field in use. Its nonce follows from `mark`. */
export function richRecord(version: number, mark: number, mediumId: MediumId): VolumeRecord {
  const server = (name: string): ServerId => name as ServerId;
  return {
    version: version as Version,
    nonce: hex(mark),
    mediumId,
    epoch: (version + 3) as Epoch,
    owner: { server: server('a'), incarnation: hex(7) as Incarnation },
    ownerStore: hex(8) as StoreId,
    partner: server('b'),
    partnerStore: hex(9) as StoreId,
    generation: 5 as Generation,
    mirror: 'replaying',
    source: {
      epoch: 2 as Epoch,
      generation: 4 as Generation,
      stores: [{ server: server('a'), store: hex(8) as StoreId }],
      from: 'sole',
    },
    holders: [{ server: server('b'), incarnation: hex(11) as Incarnation }],
    replayed: { epoch: 1 as Epoch, sequence: (2 ** 40) as Sequence },
    losses: ['Everything after noon was lost — accepted by an administrator.'],
    why: 'the owner “a” is silent\nand its entry stands still',
  };
}

/** The record of a volume that was just created: version 1, never owned. */
export function firstRecord(mediumId: MediumId): VolumeRecord {
  return {
    version: 1 as Version,
    nonce: hex(1),
    mediumId,
    epoch: 0 as Epoch,
    owner: null,
    ownerStore: null,
    partner: null,
    partnerStore: null,
    generation: 0 as Generation,
    mirror: 'suspended',
    source: null,
    holders: [],
    replayed: null,
    losses: [],
    why: 'the volume was created',
  };
}

/** One server's calls as promises that the world is stepped for. */
export class Asking {
  readonly coordinator: Coordinator;
  readonly #world: Pick<CoordinatorWorld, 'step'>;

  constructor(world: Pick<CoordinatorWorld, 'step'>, coordinator: Coordinator) {
    this.#world = world;
    this.coordinator = coordinator;
  }

  async read(volume: VolumeName): Promise<VolumeRecord> {
    return this.#result((done) => this.coordinator.read(volume, done));
  }

  async readEntry(server: ServerId): Promise<ServerEntry> {
    return this.#result((done) => this.coordinator.readEntry(server, done));
  }

  async swap(volume: VolumeName, next: VolumeRecord): Promise<{ outcome: SwapOutcome; fault: Fault | null }> {
    return this.#answer<[outcome: SwapOutcome, fault: Fault | null]>((answer) =>
      this.coordinator.swap(volume, next, (outcome, fault) => answer([outcome, fault])),
    ).then(([outcome, fault]) => ({ outcome, fault }));
  }

  async writeEntry(entry: ServerEntry): Promise<void> {
    const [fault] = await this.#answer<[Fault | null]>((answer) =>
      this.coordinator.writeEntry(entry, (found) => answer([found])),
    );
    if (fault !== null) throw fault;
  }

  async probe(): Promise<void> {
    const [fault] = await this.#answer<[Fault | null]>((answer) => this.coordinator.probe((found) => answer([found])));
    if (fault !== null) throw fault;
  }

  async #result<T>(start: (done: (fault: Fault | null, value: T | null) => void) => void): Promise<T> {
    const [fault, value] = await this.#answer<[Fault | null, T | null]>((answer) =>
      start((found, result) => answer([found, result])),
    );
    assert.notEqual(fault === null, value === null, 'exactly one of fault and value');
    if (fault !== null) throw fault;
    return value as T;
  }

  /** Exactly one answer, never from within the call. */
  async #answer<T>(start: (answer: (value: T) => void) => void): Promise<T> {
    const answers: T[] = [];
    let within = true;
    start((value) => {
      assert.equal(within, false, 'an answer never comes from within the call');
      answers.push(value);
    });
    within = false;
    for (let steps = 0; answers.length === 0; steps++) {
      assert.ok(steps < STEPS_MAX, 'the call is answered');
      await this.#world.step();
    }
    assert.equal(answers.length, 1, 'the call is answered once');
    return answers[0] as T;
  }
}

/** Expects a fault of the kind, with a sentence. */
export async function refused(run: () => Promise<unknown>, kind: FaultKind): Promise<void> {
  await assert.rejects(run, (error) => error instanceof Fault && error.kind === kind && error.message.length > 0);
}

/** Runs the suite; `make` is called for each test and gives a fresh world. `skip` says why it cannot run here. */
export function coordinatorSuite(
  name: string,
  make: () => Promise<CoordinatorWorld>,
  skip: string | false = false,
): void {
  const run = (what: string, body: (world: CoordinatorWorld) => Promise<void>): void => {
    test(`${name}: ${what}`, { skip }, async () => {
      const world = await make();
      try {
        await body(world);
      } finally {
        await world.end();
      }
    });
  };
  const asking = (world: CoordinatorWorld, at: number): Asking =>
    new Asking(world, world.coordinatorOf(world.servers[at] as ServerId));

  run('a created volume has its first record, an unknown one is missing', async (world) => {
    assert.equal((await asking(world, 0).read(world.volume)).version, 1);
    await refused(() => asking(world, 0).read('stranger' as VolumeName), 'missing');
  });

  run('what was swapped in is read by everybody, field by field', async (world) => {
    const [a, b] = [asking(world, 0), asking(world, 1)];
    const before = await b.read(world.volume);
    const next = richRecord(2, 77, before.mediumId);
    assert.deepEqual(await a.swap(world.volume, next), { outcome: 'done', fault: null });
    assert.deepEqual(await b.read(world.volume), next);
    assert.deepEqual(await a.read(world.volume), next);
    assert.deepEqual(await asking(world, 0).read(world.volume), next, 'also by a later start');
  });

  run('only the very next version is taken', async (world) => {
    const a = asking(world, 0);
    const { mediumId } = await a.read(world.volume);
    for (const version of [2, 3, 4]) {
      assert.equal((await a.swap(world.volume, richRecord(version, version, mediumId))).outcome, 'done');
    }
    for (const version of [1, 2, 4, 6, 60]) {
      const { outcome } = await a.swap(world.volume, richRecord(version, 99, mediumId));
      assert.equal(outcome, 'conflict', `version ${version} after 4`);
    }
    assert.equal((await a.read(world.volume)).nonce, hex(4));
  });

  run('of several servers that swap at once, one succeeds each time, and nobody reads the past', async (world) => {
    const servers = world.servers.map((_, at) => asking(world, at));
    const { mediumId } = await (servers[0] as Asking).read(world.volume);
    const target = 40;
    /** Version → nonce of who was told that it succeeded. */
    const won = new Map<number, string>();
    let newest = 1;
    let mark = 1_000;
    const compete = async (server: Asking): Promise<void> => {
      for (;;) {
        const known = newest;
        const found = await server.read(world.volume);
        assert.ok(found.version >= known, `a read after version ${known} was done shows it, not ${found.version}`);
        if (found.version > 1) assert.equal(won.get(found.version) ?? found.nonce, found.nonce);
        if (found.version >= target) return;
        const next = richRecord(found.version + 1, (mark += 1), mediumId);
        const { outcome, fault } = await server.swap(world.volume, next);
        assert.equal(fault, null);
        if (outcome === 'conflict') continue;
        assert.equal(outcome, 'done');
        assert.equal(won.has(next.version), false, `version ${next.version} is won once`);
        won.set(next.version, next.nonce);
        newest = Math.max(newest, next.version);
      }
    };
    await Promise.all(servers.map(compete));
    assert.deepEqual(
      [...won.keys()].sort((x, y) => x - y),
      Array.from({ length: target - 1 }, (_, i) => i + 2),
    );
    assert.equal((await asking(world, 0).read(world.volume)).nonce, won.get(target));
  });

  run('a server that slept for very many versions neither swaps nor reads the past', async (world) => {
    const [sleeper, busy] = [asking(world, 0), asking(world, 1)];
    const { mediumId } = await sleeper.read(world.volume);
    for (let version = 2; version <= 8; version++) {
      assert.equal((await busy.swap(world.volume, richRecord(version, version, mediumId))).outcome, 'done');
    }
    const seen = await sleeper.read(world.volume);
    assert.equal(seen.version, 8);
    for (let version = 9; version <= 158; version++) {
      assert.equal((await busy.swap(world.volume, richRecord(version, version, mediumId))).outcome, 'done');
    }
    const stale = { ...seen, version: 9 as Version, nonce: hex(4711) };
    assert.equal((await sleeper.swap(world.volume, stale)).outcome, 'conflict');
    assert.equal((await sleeper.read(world.volume)).nonce, hex(158));
    assert.equal((await busy.read(world.volume)).nonce, hex(158));
  });

  run('entries are read by everybody as they were last written', async (world) => {
    const [a, b] = [asking(world, 0), asking(world, 1)];
    const server = world.servers[0] as ServerId;
    await refused(() => b.readEntry(server), 'missing');
    for (let counter = 1; counter <= 5; counter++) {
      const unfit = counter % 2 === 0 ? `its journal’s disk fails: ${counter}` : null;
      const entry = { server, incarnation: hex(3) as Incarnation, counter, unfit };
      await a.writeEntry(entry);
      assert.deepEqual(await b.readEntry(server), entry);
    }
    await refused(() => b.readEntry(world.servers[1] as ServerId), 'missing');
  });

  run('entries written faster than they can be: each call ends, and the last one stays', async (world) => {
    const a = asking(world, 0);
    const server = world.servers[0] as ServerId;
    const entryOf = (counter: number): ServerEntry => ({
      server,
      incarnation: hex(3) as Incarnation,
      counter,
      unfit: null,
    });
    const faults: (Fault | null)[] = [];
    for (let counter = 1; counter <= 20; counter++) {
      a.coordinator.writeEntry(entryOf(counter), (fault) => faults.push(fault));
    }
    for (let steps = 0; faults.length < 20; steps++) {
      assert.ok(steps < STEPS_MAX, 'every call is answered');
      await world.step();
    }
    assert.ok(faults.every((fault) => fault === null || fault.kind === 'retry'));
    assert.equal((await asking(world, 1).readEntry(server)).counter, 20);
  });

  run('a probe of a coordinator that works succeeds, also several servers’ at once', async (world) => {
    await Promise.all(world.servers.map((_, at) => asking(world, at).probe()));
    await asking(world, 0).probe();
  });
}
