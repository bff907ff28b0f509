/**
 * What every link must do, whatever it is made of (src/ports/link.ts): run by the TCP driver and by its simulated twin.
 *
 * Nothing here waits for luck: `until` lets the world go on until something holds, in real or simulated time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Epoch, Generation, Incarnation, Sequence, ServerId, VolumeName } from '../src/base/names.ts';
import { dataCrcOf, OperationKind, NO_TIME } from '../src/base/operation.ts';
import type { Link, LinkEvents, LinkMessage, MirrorMessage, PathRef, ServingMessage } from '../src/ports/link.ts';
import { everyMessage, plain } from './link-messages.ts';

export const A = 'a' as ServerId;
export const B = 'b' as ServerId;

/** A server of the pair, made and not yet listening. */
export interface LinkNode {
  readonly link: Link;
  readonly incarnation: Incarnation;
}

/** Two servers, `a` and `b`, that reach each other by two paths. */
export interface LinkWorld {
  /** A new incarnation of that server; the one before has been killed. */
  make(server: ServerId): LinkNode;
  /** Its process ends: the peer's host answers, and nothing listens there any more. */
  kill(server: ServerId): Promise<void>;
  /** Lets the world go on until `holds`; fails, with `what`, when it does not within some seconds. */
  until(what: string, holds: () => boolean): Promise<void>;
  /** Ends whatever is left. */
  end(): Promise<void>;
}

type Told =
  | { readonly kind: 'up'; readonly path: number; readonly incarnation: Incarnation }
  | { readonly kind: 'down'; readonly path: number; readonly reason: string; readonly detail: string }
  | {
      readonly kind: 'message';
      readonly path: number;
      readonly incarnation: Incarnation;
      readonly message: LinkMessage;
    };

/** A server that writes down what its link tells it. */
export class Listening implements LinkEvents {
  readonly told: Told[] = [];
  readonly link: Link;
  readonly incarnation: Incarnation;
  readonly #peer: ServerId;
  /** Called for every message, before it is written down. */
  onMessage: (path: number, message: LinkMessage) => void = () => {};
  /** True while the test is within a call of the link's: nothing may be told then. */
  calling = false;

  constructor(node: LinkNode, peer: ServerId) {
    this.link = node.link;
    this.incarnation = node.incarnation;
    this.#peer = peer;
    node.link.listen(this);
  }

  up(at: PathRef, incarnation: Incarnation): void {
    this.#tell(at, { kind: 'up', path: at.path, incarnation });
  }

  down(at: PathRef, reason: string, detail: string): void {
    this.#tell(at, { kind: 'down', path: at.path, reason, detail });
  }

  message(at: PathRef, incarnation: Incarnation, message: LinkMessage): void {
    this.onMessage(at.path, message);
    this.#tell(at, { kind: 'message', path: at.path, incarnation, message });
  }

  #tell(at: PathRef, told: Told): void {
    assert.equal(at.peer, this.#peer);
    assert.equal(this.calling, false, `${told.kind} was told from within a call`);
    this.told.push(told);
  }

  at(path: number): PathRef {
    return { peer: this.#peer, path };
  }

  send(path: number, message: LinkMessage): boolean {
    return this.#call(() => this.link.send(this.at(path), message));
  }

  drop(path: number, why: string): void {
    this.#call(() => this.link.drop(this.at(path), why));
  }

  #call<T>(call: () => T): T {
    this.calling = true;
    try {
      return call();
    } finally {
      this.calling = false;
    }
  }

  /** The peer's incarnation on that path; null while it is down. */
  upTo(path: number): Incarnation | null {
    const last = this.told.findLast((one) => one.path === path && one.kind !== 'message');
    return last?.kind === 'up' ? last.incarnation : null;
  }

  messages(path?: number): LinkMessage[] {
    return this.told.flatMap((one) =>
      one.kind === 'message' && (path === undefined || one.path === path) ? [one.message] : [],
    );
  }

  count(kind: Told['kind'], path?: number): number {
    return this.told.filter((one) => one.kind === kind && (path === undefined || one.path === path)).length;
  }
}

/** A small message that says a number. */
export function say(number: number): ServingMessage {
  return { type: 'serving', volume: 'v' as VolumeName, epoch: number as Epoch };
}

function heard(messages: readonly LinkMessage[]): number[] {
  return messages.map((message) => (message.type === 'serving' ? message.epoch : -1));
}

function writes(count: number, size: number): MirrorMessage {
  const life = { volume: 'v' as VolumeName, epoch: 1 as Epoch, generation: 1 as Generation };
  const operations = Array.from({ length: count }, (_, index) => {
    const data = Buffer.alloc(size, index + 1);
    const range = { offset: index * size, length: size, data, dataCrc: dataCrcOf(data), timeNs: NO_TIME };
    return { epoch: 1 as Epoch, sequence: (index + 1) as Sequence, kind: OperationKind.write, target: '', ...range };
  });
  return { type: 'mirror', ...life, operations, acknowledged: 0 as Sequence, released: 0 as Sequence };
}

interface Pair {
  readonly a: Listening;
  readonly b: Listening;
}

/** Both servers, up with each other on both paths. */
async function pairUp(world: LinkWorld): Promise<Pair> {
  const a = new Listening(world.make(A), B);
  const b = new Listening(world.make(B), A);
  await bothUp(world, { a, b });
  return { a, b };
}

async function bothUp(world: LinkWorld, { a, b }: Pair): Promise<void> {
  await world.until('both paths are up at both ends', () =>
    [0, 1].every((path) => a.upTo(path) === b.incarnation && b.upTo(path) === a.incarnation),
  );
}

/** Registers the tests. `makeWorld` is called once for each. */
export function linkSuite(name: string, makeWorld: () => Promise<LinkWorld>): void {
  const linkTest = (what: string, run: (world: LinkWorld) => Promise<void>): void => {
    test(`${name}: ${what}`, async () => {
      const world = await makeWorld();
      try {
        await run(world);
      } finally {
        await world.end();
      }
    });
  };

  linkTest('every path comes up with the incarnation of the other end', async (world) => {
    const { a, b } = await pairUp(world);
    assert.equal(a.link.peers.get(B)?.paths, 2);
    assert.equal(b.link.peers.get(A)?.paths, 2);
    for (const side of [a, b]) assert.equal(side.count('message'), 0);
  });

  linkTest('what cannot be sent is refused, not lost: false', async (world) => {
    const a = new Listening(world.make(A), B);
    assert.equal(a.send(0, say(1)), false);
    assert.equal(a.send(7, say(1)), false);
    assert.equal(a.link.send({ peer: 'nobody' as ServerId, path: 0 }, say(1)), false);
    a.drop(0, 'there is nothing to be dropped');
    await world.until('an attempt was refused on each path', () => a.count('down', 0) > 0 && a.count('down', 1) > 0);
    for (const one of a.told) assert(one.kind === 'down' && one.reason === 'refused', JSON.stringify(one));
  });

  linkTest('a message of every type arrives unaltered, on its path, with its sender named', async (world) => {
    const { a, b } = await pairUp(world);
    const messages = everyMessage();
    for (const message of messages) {
      assert.equal(a.send(0, message), true);
      assert.equal(b.send(1, message), true);
    }
    await world.until('all have arrived', () => a.count('message') + b.count('message') === 2 * messages.length);
    assert.deepEqual(b.messages(0).map(plain), messages.map(plain));
    assert.deepEqual(a.messages(1).map(plain), messages.map(plain));
    for (const [side, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      for (const one of side.told) if (one.kind === 'message') assert.equal(one.incarnation, peer.incarnation);
    }
  });

  linkTest('on one path messages arrive in the order in which they were sent', async (world) => {
    const { a, b } = await pairUp(world);
    const expected: number[] = [];
    for (let turn = 0; turn < 40; turn += 1) {
      for (let number = 0; number < 50; number += 1) {
        expected.push(expected.length + 1);
        assert(a.send(turn % 2, say(expected.length)));
      }
      await world.until('some were heard', () => b.count('message') >= expected.length - 50);
    }
    await world.until('all were heard', () => b.count('message') === expected.length);
    for (const path of [0, 1]) {
      const found = heard(b.messages(path));
      assert.deepEqual(
        found,
        found.toSorted((x, y) => x - y),
      );
    }
    assert.deepEqual(
      heard(b.messages()).toSorted((x, y) => x - y),
      expected,
    );
  });

  linkTest('a full batch and a single large operation arrive', async (world) => {
    const { a, b } = await pairUp(world);
    const messages = [writes(240, 4096), writes(1, 8 << 20), writes(3, 1)];
    for (const message of messages) assert(a.send(1, message));
    await world.until('all have arrived', () => b.count('message') === messages.length);
    for (const [index, message] of messages.entries()) {
      const found = b.messages(1)[index] as MirrorMessage;
      assert.equal(found.operations.length, message.operations.length);
      for (const [at, operation] of message.operations.entries()) {
        assert(found.operations[at]!.data.equals(operation.data));
        assert.equal(found.operations[at]!.dataCrc, operation.dataCrc);
      }
    }
  });

  linkTest(
    'a dropped path is told as silent, delivers nothing more, and comes up again; the other stays',
    async (world) => {
      const { a, b } = await pairUp(world);
      let count = 0;
      a.onMessage = (path) => {
        count += 1;
        if (count === 10) a.drop(path, 'the test says so');
      };
      for (let number = 1; number <= 100; number += 1) assert(b.send(0, say(number)));
      await world.until('the path is down at both ends', () => a.count('down', 0) > 0 && b.count('down', 0) > 0);
      await bothUp(world, { a, b });
      const told = a.told.filter((one) => one.path === 0);
      assert.deepEqual(
        told.map((one) => one.kind).join(' '),
        ['up', ...Array(10).fill('message'), 'down', 'up'].join(' '),
      );
      const down = told[11]!;
      assert(down.kind === 'down' && down.reason === 'silent' && down.detail === 'the test says so');
      assert.deepEqual(heard(a.messages(0)), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      for (const side of [a, b]) assert.equal(side.count('down', 1), 0);
      assert(b.send(0, say(101)));
      await world.until('the new session carries', () => heard(a.messages(0)).at(-1) === 101);
    },
  );

  linkTest('a peer that died is noticed at once, by either side: down, then refused', async (world) => {
    for (const [dying, living] of [
      [A, B],
      [B, A],
    ] as const) {
      const { a, b } = await pairUp(world);
      const survivor = living === A ? a : b;
      const before = survivor.told.length;
      await world.kill(dying);
      await world.until('both paths are down and refused', () =>
        [0, 1].every((path) =>
          survivor.told
            .slice(before)
            .some((one) => one.path === path && one.kind === 'down' && one.reason === 'refused'),
        ),
      );
      for (const path of [0, 1]) {
        const after = survivor.told.slice(before).find((one) => one.path === path);
        assert(after?.kind === 'down' && after.reason !== 'refused', 'the session ends first');
        assert.equal(survivor.send(path, say(1)), false);
      }
      await world.kill(living);
    }
  });

  linkTest('a peer that restarts is another one: messages before and after are told apart', async (world) => {
    const first = await pairUp(world);
    for (let number = 1; number <= 20; number += 1) assert(first.b.send(number % 2, say(number)));
    await world.kill(B);
    const b = new Listening(world.make(B), A);
    assert.notEqual(b.incarnation, first.b.incarnation);
    const { a } = first;
    await bothUp(world, { a, b });
    for (let number = 101; number <= 120; number += 1) assert(b.send(number % 2, say(number)));
    await world.until(
      'the new ones have arrived',
      () => heard(a.messages()).filter((number) => number > 100).length === 20,
    );
    const current: (Incarnation | null)[] = [null, null];
    for (const one of a.told) {
      if (one.kind === 'up') current[one.path] = one.incarnation;
      else if (one.kind === 'down') current[one.path] = null;
      else {
        assert.equal(one.incarnation, current[one.path], 'a message belongs to the session that is up');
        const expected = heard([one.message])[0]! > 100 ? b.incarnation : first.b.incarnation;
        assert.equal(one.incarnation, expected);
      }
    }
  });

  linkTest('both restart, in any order, again and again', async (world) => {
    await pairUp(world);
    const orders = [
      [A, B],
      [B, A],
      [A, B],
    ] as const;
    for (const order of orders) {
      await world.kill(order[0]);
      await world.kill(order[1]);
      const pair = order.toReversed().map((server) => new Listening(world.make(server), server === A ? B : A));
      const [b, a] = order[0] === A ? [pair[0]!, pair[1]!] : [pair[1]!, pair[0]!];
      await bothUp(world, { a, b });
      assert(a.send(0, say(1)) && b.send(1, say(2)));
      await world.until('they speak', () => a.count('message') === 1 && b.count('message') === 1);
    }
  });

  linkTest('both drop the same path at the same time: it comes up once, and stays up', async (world) => {
    const { a, b } = await pairUp(world);
    for (let round = 1; round <= 4; round += 1) {
      a.drop(0, 'both');
      b.drop(0, 'both');
      await world.until('both were told', () => a.count('down', 0) >= round && b.count('down', 0) >= round);
      await bothUp(world, { a, b });
      assert(a.send(0, say(round)) && b.send(0, say(round)));
      await world.until('they speak', () => a.messages(0).length === round && b.messages(0).length === round);
    }
    assert.equal(a.count('up', 0), 5, 'one session a round, at the one end');
    assert.equal(b.count('up', 0), 5, 'and at the other');
  });

  linkTest('after close nothing is told, and done is not called from within', async (world) => {
    const { a, b } = await pairUp(world);
    for (let number = 1; number <= 50; number += 1) {
      assert(a.send(0, say(number)));
      assert(b.send(0, say(number)));
    }
    const before = a.told.length;
    let done = false;
    a.link.close(() => (done = true));
    assert.equal(done, false);
    assert.equal(a.send(0, say(1)), false);
    await world.until('it is closed, and the peer knows', () => done && b.upTo(0) === null && b.upTo(1) === null);
    assert.equal(a.told.length, before);
    assert.equal(b.messages(0).length, 50, 'what was sent before still left');
  });
}
