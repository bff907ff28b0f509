/** Link messages of every type, as fast-check draws them: for the tests of the codec, of frames, and of every link. */
import fc from 'fast-check';
import type { Epoch, Generation, Sequence, StoreId, VolumeName } from '../src/base/names.ts';
import { dataCrcOf, NO_BYTES, type Operation, OperationKind, NO_TIME } from '../src/base/operation.ts';
import type { LinkMessage } from '../src/ports/link.ts';

const whole = fc.oneof(
  fc.maxSafeNat(),
  fc.nat(300),
  fc.constantFrom(0, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER),
);
const epoch = whole as fc.Arbitrary<Epoch>;
const generation = whole as fc.Arbitrary<Generation>;
const sequence = whole as fc.Arbitrary<Sequence>;
/** Whole characters only: half a surrogate pair is no text. */
const text = (maxLength: number): fc.Arbitrary<string> =>
  fc.oneof(fc.string({ maxLength }), fc.string({ maxLength, unit: 'grapheme' }));
const name = text(20).map((drawn) => `v${drawn}`);
const volume = name as fc.Arbitrary<VolumeName>;
const store = name as fc.Arbitrary<StoreId>;
const why = text(60);
const maybeWhy = fc.option(why);
const time = fc.double({ noNaN: true, noDefaultInfinity: true });
const life = { volume, epoch, generation };

const range = fc.tuple(
  fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  fc.nat(2 ** 50),
  text(5),
);

/** An operation as the core would make it. `maxData` bounds a write's payload. */
export function anyOperation(maxData: number): fc.Arbitrary<Operation> {
  const write = fc
    .tuple(range, fc.uint8Array({ minLength: 1, maxLength: maxData }))
    .map(([drawn, bytes]): Operation => {
      const data = Buffer.from(bytes);
      const fields = {
        kind: OperationKind.write,
        offset: drawn[2],
        length: data.length,
        data,
        dataCrc: dataCrcOf(data),
        timeNs: BigInt(drawn[2]),
      };
      return { epoch: drawn[0] as Epoch, sequence: drawn[1] as Sequence, target: drawn[3], ...fields };
    });
  const clear = fc
    .tuple(range, fc.constantFrom(OperationKind.zero, OperationKind.trim), fc.integer({ min: 1, max: 2 ** 50 }))
    .map(([drawn, kind, length]): Operation => {
      const fields = { kind, offset: drawn[2], length, data: NO_BYTES, dataCrc: 0, timeNs: NO_TIME };
      return { epoch: drawn[0] as Epoch, sequence: drawn[1] as Sequence, target: drawn[3], ...fields };
    });
  return fc.oneof(write, clear);
}

type ByType = { readonly [T in LinkMessage['type']]: fc.Arbitrary<Extract<LinkMessage, { readonly type: T }>> };

function byType(maxData: number): ByType {
  const operations = fc.array(anyOperation(maxData), { maxLength: 6 });
  const type = <T extends LinkMessage['type']>(of: T): fc.Arbitrary<T> => fc.constant(of);
  const marks = { acknowledged: sequence, released: sequence };
  const copy = fc.record({ store, received: sequence, stored: sequence, released: sequence });
  return {
    mirror: fc.record({ type: type('mirror'), ...life, operations, ...marks }),
    stored: fc.record({
      type: type('stored'),
      ...life,
      store,
      received: sequence,
      stored: sequence,
      released: sequence,
      gap: fc.boolean(),
    }),
    release: fc.record({ type: type('release'), ...life, ...marks }),
    heartbeat: fc.record({
      type: type('heartbeat'),
      sentAtMs: time,
      unfit: maybeWhy,
      entry: fc.nat(),
      volumes: fc.array(fc.record({ ...life, ...marks, sent: sequence }), { maxLength: 5 }),
    }),
    'heartbeat-ack': fc.record({
      type: type('heartbeat-ack'),
      sentAtMs: time,
      grants: fc.array(fc.record({ ...life, granted: fc.boolean(), copy: fc.option(copy) }), { maxLength: 5 }),
    }),
    'resync-begin': fc.record({ type: type('resync-begin'), ...life, base: sequence }),
    'resync-ready': fc.record({
      type: type('resync-ready'),
      ...life,
      store,
      capacityBytes: whole,
      base: sequence,
      refusal: maybeWhy,
    }),
    'resync-seal': fc.record({ type: type('resync-seal'), ...life }),
    'resync-sealed': fc.record({ type: type('resync-sealed'), ...life, store }),
    'tail-ask': fc.record({ type: type('tail-ask'), ...life, store, from: sequence }),
    tail: fc.record({
      type: type('tail'),
      ...life,
      store,
      last: fc.option(sequence),
      ...marks,
      operations,
      refusal: maybeWhy,
    }),
    'handover-ask': fc.record({ type: type('handover-ask'), volume, epoch, nonce: name }),
    'handover-answer': fc.record({
      type: type('handover-answer'),
      volume,
      epoch,
      nonce: name,
      undestagedBytes: whole,
      refusal: maybeWhy,
      state: fc.constantFrom('draining' as const, 'quiesced' as const, 'agreed' as const, 'refused' as const),
    }),
    'take-please': fc.record({ type: type('take-please'), volume, epoch, why }),
    serving: fc.record({ type: type('serving'), volume, epoch }),
    clients: fc.record({ type: type('clients'), volume, epoch, clients: fc.array(name, { maxLength: 8 }) }),
  };
}

/** Any message, every type as often as any other. */
export function anyMessage(maxData = 200): fc.Arbitrary<LinkMessage> {
  return fc.oneof(...Object.values<fc.Arbitrary<LinkMessage>>(byType(maxData)));
}

/** One message of every type, the same at every run. */
export function everyMessage(maxData = 5000): LinkMessage[] {
  return Object.values<fc.Arbitrary<LinkMessage>>(byType(maxData)).flatMap((one) =>
    fc.sample(one, { numRuns: 4, seed: 7 }),
  );
}

/** The same message with its fields in one order and its buffers as text, so that two can be compared by `deepEqual`. */
export function plain(message: LinkMessage): unknown {
  return JSON.parse(
    JSON.stringify(message, (_key, value: unknown) => {
      if (Object.is(value, -0)) return '-0';
      if (typeof value === 'bigint') return `${value}n`;
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
      const found = value as { readonly type?: unknown; readonly data?: unknown };
      if (found.type === 'Buffer' && Array.isArray(found.data))
        return Buffer.from(found.data as number[]).toString('hex');
      // A received operation has its data behind a getter.
      const all = 'dataCrc' in value ? { ...value, data: (value as Operation).data } : value;
      return Object.fromEntries(Object.entries(all).toSorted(([a], [b]) => (a < b ? -1 : 1)));
    }),
  );
}
