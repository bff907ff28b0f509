/**
 * The hot path in pieces, each alone and without I/O: what one 4 KiB write costs in it. `bench/micro/main.ts` prints time
 * and garbage of each; `bench/micro/garbage.test.ts` holds the garbage to a bound.
 */
import type { Socket } from 'node:net';
import type { Done } from '../../src/base/fault.ts';
import type { Epoch, Generation, Sequence, VolumeName } from '../../src/base/names.ts';
import { dataCrcOf, NO_TIME, type Operation, OperationKind } from '../../src/base/operation.ts';
import { newSlab, SLAB_BYTES } from '../../src/base/slab.ts';
import { OperationLog } from '../../src/core/log.ts';
import { Newest } from '../../src/core/owner/newest.ts';
import { Overlay } from '../../src/core/owner/overlay.ts';
import { stepsOf } from '../../src/core/owner/plan.ts';
import { GroupWriter } from '../../src/drivers/store/journal/group-writer.ts';
import { LiveLog } from '../../src/drivers/store/journal/live-log.ts';
import { RingSpace, ringSizes } from '../../src/drivers/store/journal/space.ts';
import { Budget } from '../../src/front/clients/budget.ts';
import { DEFAULT_NBD_LIMITS } from '../../src/front/nbd/limits.ts';
import { ReplyWriter } from '../../src/front/clients/reply-writer.ts';
import { Transmission } from '../../src/front/nbd/transmission.ts';
import type { MirrorMessage } from '../../src/ports/link.ts';
import type { ServiceRequest, VolumeService } from '../../src/ports/service.ts';
import { FrameReader, FrameWriter } from '../../src/wire/link-frame.ts';
import { decodeMessage } from '../../src/wire/link-messages.ts';
import { ByteQueue } from '../../src/wire/nbd-gather.ts';

const DATA_BYTES = 4096;
/** Writes that arrive together. */
export const BATCH = 32;
const VOLUME_BLOCKS = 262_144;
/** Undestaged operations in the log and the overlay: what a store of 256 MiB holds. */
const STANDING = 65_536;
/** Operations of one destage. */
const PLANNED = 4_096;
const VERSION = 1;

export interface Piece {
  readonly name: string;
  /** Most bytes of garbage that one write may make in it. */
  readonly mostBytes: number;
  /** Writes at each call, where that is not a batch of 32. */
  readonly writes?: number;
  /** Ready to run: does one batch at each call. */
  make(): () => void;
}

/** Numbers without a pattern, the same in every run. */
function chance(): () => number {
  let state = 12_345;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return state;
  };
}

const slab = newSlab(SLAB_BYTES);

function operationsFrom(first: number, count: number, draw: () => number): Operation[] {
  return Array.from({ length: count }, (_, i) => {
    const data = slab.subarray((i % 200) << 12, ((i % 200) << 12) + DATA_BYTES);
    return {
      epoch: 1 as Epoch,
      sequence: (first + i) as Sequence,
      kind: OperationKind.write,
      target: '',
      offset: (draw() % VOLUME_BLOCKS) * DATA_BYTES,
      length: DATA_BYTES,
      data,
      dataCrc: dataCrcOf(data),
      timeNs: NO_TIME,
    };
  });
}

/** Batches of operations with consecutive numbers, made beforehand so that their making is not measured. */
class Supply {
  readonly #draw = chance();
  #next = 1;

  take(count: number): Operation[] {
    const operations = operationsFrom(this.#next, count, this.#draw);
    this.#next += count;
    return operations;
  }
}

function requests(): Buffer {
  const bytes = newSlab(BATCH * (28 + DATA_BYTES));
  const draw = chance();
  for (let i = 0; i < BATCH; i += 1) {
    const at = i * (28 + DATA_BYTES);
    bytes.writeUInt32BE(0x25609513, at);
    bytes.writeUInt16BE(1, at + 4);
    bytes.writeUInt16BE(1, at + 6);
    bytes.writeUInt32BE(i, at + 12);
    bytes.writeUInt32BE((draw() % VOLUME_BLOCKS) * DATA_BYTES, at + 20);
    bytes.writeUInt32BE(DATA_BYTES, at + 24);
  }
  return bytes;
}

/** The NBD door from received bytes to replies, in front of a volume that answers at once. */
function nbd(): () => void {
  const waiting: ServiceRequest[] = [];
  const service: VolumeService = {
    sizeBytes: () => VOLUME_BLOCKS * DATA_BYTES,
    maxRequestBytes: 32 << 20,
    pending: () => null,
    submit: (request) => void waiting.push(request),
  };
  const socket = { writableLength: 0, cork: () => {}, uncork: () => {}, write: () => true } as unknown as Socket;
  const limits = DEFAULT_NBD_LIMITS;
  const exported = { name: 'v', service, sizeBytes: VOLUME_BLOCKS * DATA_BYTES, limits, budget: new Budget(1 << 30) };
  const out = new ReplyWriter(socket);
  const port = { receive: () => {}, finish: () => {}, fail: () => {} };
  const transmission = new Transmission(exported, { style: 'simple', allocation: false }, out, port, new ByteQueue());
  const bytes = requests();
  return () => {
    transmission.push(bytes);
    for (const request of waiting) if (request.kind === 'write') request.done(null);
    waiting.length = 0;
    out.flush(null);
  };
}

function mirrorOf(operations: readonly Operation[]): MirrorMessage {
  const marks = { acknowledged: 1 as Sequence, released: 1 as Sequence };
  const life = { volume: 'volume' as VolumeName, epoch: 1 as Epoch, generation: 1 as Generation };
  return { type: 'mirror', ...life, operations, ...marks };
}

function linkOut(): () => void {
  const writer = new FrameWriter(VERSION, 0);
  const message = mirrorOf(operationsFrom(1, BATCH, chance()));
  return () => {
    writer.write(message);
    writer.take();
  };
}

function linkIn(): () => void {
  const writer = new FrameWriter(VERSION, 0);
  writer.write(mirrorOf(operationsFrom(1, BATCH, chance())));
  const parts = writer.take();
  const bytes = newSlab(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) at += part.copy(bytes, at);
  return () => {
    const reader = new FrameReader(0);
    reader.feed(bytes);
    const frame = reader.next();
    if (frame === null || frame instanceof Error) throw new Error('a whole frame was fed');
    decodeMessage(frame.type, frame.control, frame.operations, VERSION);
  };
}

function overlay(looked: boolean): () => void {
  const map = new Overlay();
  const supply = new Supply();
  const standing = supply.take(STANDING);
  for (const operation of standing) map.add(operation);
  // The same operations come again and again: what is measured adds and removes, and makes none.
  let at = 0;
  return () => {
    for (let i = 0; i < BATCH; i += 1) {
      const operation = standing[(at + i) % STANDING]!;
      map.remove(operation);
      map.add(operation);
      if (looked) map.visit('', operation.offset, DATA_BYTES, ignore);
    }
    at += BATCH;
  };
}

function ignore(): void {
  // Looked at, and nothing done.
}

function plan(): () => void {
  const operations = operationsFrom(1, PLANNED, chance());
  const newest = new Newest();
  return () => {
    for (const operation of operations) newest.add(operation);
    stepsOf(newest);
    newest.clear();
  };
}

function log(): () => void {
  const supply = new Supply();
  let kept = new OperationLog(0 as Sequence);
  const operations = supply.take(STANDING);
  let at = 0;
  return () => {
    for (let i = 0; i < BATCH; i += 1) kept.append(operations[at + i]!);
    at += BATCH;
    if (at > STANDING / 2) kept.release((at - STANDING / 2) as Sequence);
    if (at === STANDING) {
      kept = new OperationLog(0 as Sequence);
      at = 0;
    }
  };
}

function journal(): () => void {
  const sizes = ringSizes(256 << 20, 32 << 20);
  const space = new RingSpace(sizes, { number: 1, position: 0 }, 0);
  const file = {
    path: 'nowhere',
    sizeBytes: sizes.ringBytes,
    write: (_buffers: Buffer[], _at: number, done: Done) => done(null),
    read: () => {},
    sync: () => {},
    close: () => {},
  };
  const end = { previousPosition: 0, previousCrc: 0, logNumber: 0, logSerial: 0 };
  const writer = new GroupWriter(file, Buffer.alloc(16, 1), space, end);
  const head = { epoch: 1 as Epoch, generations: [1 as Generation], base: 0 as Sequence, complete: true };
  const supply = new Supply();
  let live = new LiveLog(1, head);
  const operations = supply.take(STANDING);
  let at = 0;
  let serial = 1;
  return () => {
    if (at === STANDING) {
      serial += 1;
      live = new LiveLog(serial, head);
      at = 0;
    }
    for (let i = 0; i < BATCH; i += 1) live.append(operations[at + i]!);
    at += BATCH;
    writer.write(live, [], ignore);
    live.release(at as Sequence);
  };
}

export const PIECES: readonly Piece[] = [
  { name: 'NBD: parse, submit, answer', mostBytes: 350, make: nbd },
  { name: 'log: append, release', mostBytes: 60, make: log },
  { name: 'overlay: add, look up, remove', mostBytes: 60, make: () => overlay(true) },
  { name: 'overlay, nobody looks: add, remove', mostBytes: 60, make: () => overlay(false) },
  { name: 'plan of a destage', mostBytes: 300, writes: PLANNED, make: plan },
  { name: 'link: frame out', mostBytes: 260, make: linkOut },
  { name: 'link: frame in, checked', mostBytes: 560, make: linkIn },
  { name: 'journal: group', mostBytes: 150, make: journal },
];
