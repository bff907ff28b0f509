/**
 * The words everybody uses: numbers and names with a meaning of their own (docs/protocol.md, "Vocabulary").
 * A brand keeps an epoch from being passed where a sequence is meant; at run time they are plain values.
 */

/** Grows with every claim, also an owner's restart: the fencing token. 0 means "never owned". */
export type Epoch = number & { readonly epoch: unique symbol };
/** Number of an operation within its epoch, from 1 on without gaps. 0 means "before the first". */
export type Sequence = number & { readonly sequence: unique symbol };
/** Names one life of the mirror; grows with every swap to or from `in-sync` and every change of partner. */
export type Generation = number & { readonly generation: unique symbol };
/** Version of a volume's record at the coordinator; each swap raises it by one. 0 means "no record". */
export type Version = number & { readonly version: unique symbol };

/** A server's name in the configuration. */
export type ServerId = string & { readonly server: unique symbol };
/**
 * One start of a server: 32 hexadecimal digits. The first 12 count the server's starts, so that of two incarnations of
 * one server the greater is the later one; the rest is drawn at random.
 */
export type Incarnation = string & { readonly incarnation: unique symbol };
/** A volume's name in the configuration. */
export type VolumeName = string & { readonly volume: unique symbol };
/** Identity of a store: 32 hexadecimal digits. A journal keeps it for life, a memory store for one start. */
export type StoreId = string & { readonly store: unique symbol };
/** Identity of a medium: 32 hexadecimal digits, written at its creation. */
export type MediumId = string & { readonly medium: unique symbol };

/** The incarnation of the `start`-th start (from 1 on), with `random` (32 hexadecimal digits) to tell copies apart. */
export function incarnationOf(start: number, random: string): Incarnation {
  return (start.toString(16).padStart(12, '0') + random.slice(0, 20)) as Incarnation;
}

export const NO_SEQUENCE = 0 as Sequence;
export const NO_EPOCH = 0 as Epoch;
export const NO_GENERATION = 0 as Generation;

/** The sequence that follows `sequence`. */
export const after = (sequence: Sequence): Sequence => (sequence + 1) as Sequence;
/** The sequence before `sequence`. */
export const before = (sequence: Sequence): Sequence => (sequence - 1) as Sequence;
/** The smaller of two sequences. */
export const lower = (a: Sequence, b: Sequence): Sequence => (a < b ? a : b);
/** The larger of two sequences. */
export const higher = (a: Sequence, b: Sequence): Sequence => (a > b ? a : b);
