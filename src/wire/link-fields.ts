/**
 * The building blocks of the link's messages: what a number, a name, a list looks like in bytes. A message is described
 * once, as a table of fields; encoder and decoder both walk that table, so that they cannot drift apart.
 *
 * Every form is canonical: there is one way to write a value, and the decoder refuses all others. Integers are
 * little-endian. A decoder never throws: the first thing that is wrong is noted in the reader, everything read after it
 * is a placeholder, and the whole message is refused (docs/link-protocol.md, "Fields").
 */
import { assert } from '../base/fault.ts';
import { NO_BYTES, type Operation } from '../base/operation.ts';
import type { ControlReader, ControlWriter } from './link-control.ts';
import { writeU64 } from './numbers.ts';

/** One form of value: how it is written and how it is read. */
export interface Field<T> {
  write(to: ControlWriter, value: T): void;
  /** Never throws: what is wrong is noted in the reader, and a placeholder returned. */
  read(from: ControlReader): T;
}

/** A field for every property of T but `type`, in the order in which they travel. */
export type Table<T> = { readonly [K in Exclude<keyof T, 'type'>]-?: Field<T[K]> };

/** A whole number from 0 to 2^53 - 1 in 8 bytes; the type parameter keeps its brand. */
export function u64<T extends number>(): Field<T> {
  return {
    write(to, value) {
      const at = to.take(8);
      writeU64(to.bytes, at, value);
    },
    read: (from) => from.u64() as T,
  };
}

/** A finite number: IEEE 754, 8 bytes. */
export const real: Field<number> = {
  write(to, value) {
    assert(Number.isFinite(value), 'a number on the link is finite');
    const at = to.take(8);
    to.bytes.writeDoubleLE(value, at);
  },
  read: (from) => from.real(),
};

/** One byte, 0 or 1. */
export const flag: Field<boolean> = {
  write(to, value) {
    const at = to.take(1);
    to.bytes[at] = value ? 1 : 0;
  },
  read(from) {
    const byte = from.byte();
    if (byte > 1) from.fail('a flag that is neither 0 nor 1');
    return byte === 1;
  },
};

/** Names that are remembered as bytes, at most: those of a server's volumes and stores, and some to spare. */
const KEPT_NAMES = 64;

/** A name of 1 to `maxBytes` bytes of UTF-8: two bytes of length, then the name. A longer one is a bug of the sender's. */
export function name<T extends string>(maxBytes: number): Field<T> {
  // The same few come again and again, and making text of bytes and bytes of text is most of a message's work.
  const written = new Map<string, Buffer>();
  let lastRead = '' as T;
  let lastBytes = NO_BYTES;
  return {
    write(to, value) {
      let bytes = written.get(value);
      if (bytes === undefined) {
        bytes = nameBytes(value, maxBytes);
        if (written.size === KEPT_NAMES) written.clear();
        written.set(value, bytes);
      }
      const at = to.take(bytes.length);
      to.bytes.set(bytes, at);
    },
    read(from) {
      if (from.passes(lastBytes)) return lastRead;
      const length = from.u16();
      if (length < 1 || length > maxBytes) from.fail(`a name of ${length} bytes, where 1 to ${maxBytes} are allowed`);
      const found = from.text(length) as T;
      if (from.failure === null) {
        lastRead = found;
        lastBytes = nameBytes(found, maxBytes);
      }
      return found;
    },
  };
}

function nameBytes(value: string, maxBytes: number): Buffer {
  const length = Buffer.byteLength(value);
  assert(length >= 1 && length <= maxBytes, `a name on the link has 1 to ${maxBytes} bytes`);
  const bytes = Buffer.allocUnsafeSlow(2 + length);
  bytes.writeUInt16LE(length, 0);
  bytes.write(value, 2, length, 'utf8');
  return bytes;
}

/** A sentence for a person. One longer than `maxBytes` bytes of UTF-8 is cut, at a character's end. */
export function sentence(maxBytes: number): Field<string> {
  return {
    write(to, value) {
      let cut = value;
      let length = Buffer.byteLength(cut);
      while (length > maxBytes) {
        cut = cut.slice(0, Math.min(cut.length - 1, maxBytes));
        // Never half a surrogate pair at the end: it would turn into a replacement character.
        if (/[\ud800-\udbff]$/.test(cut)) cut = cut.slice(0, -1);
        length = Buffer.byteLength(cut);
      }
      writeText(to, cut, length);
    },
    read(from) {
      const length = from.u16();
      if (length > maxBytes) from.fail(`a sentence of ${length} bytes, where ${maxBytes} are allowed`);
      return from.text(length);
    },
  };
}

function writeText(to: ControlWriter, value: string, length: number): void {
  const at = to.take(2 + length);
  to.bytes.writeUInt16LE(length, at);
  to.bytes.write(value, at + 2, length, 'utf8');
}

/** One of some words, each with a number of its own: one byte. Numbers are never changed or reused. */
export function word<T extends string>(numbers: Readonly<Record<T, number>>): Field<T> {
  const words: (T | undefined)[] = [];
  for (const [text, code] of Object.entries<number>(numbers) as [T, number][]) {
    assert(code >= 0 && code <= 255 && words[code] === undefined, `word number ${code} is used once`);
    words[code] = text;
  }
  const first = words[0];
  assert(first !== undefined, 'there is a word number 0');
  return {
    write(to, value) {
      const at = to.take(1);
      to.bytes[at] = numbers[value];
    },
    read(from) {
      const code = from.byte();
      const found = words[code];
      if (found === undefined) from.fail(`a word with the unknown number ${code}`);
      return found ?? first;
    },
  };
}

/** A value or null: one byte, 0 or 1, then the value if 1. */
export function optional<T>(inner: Field<T>): Field<T | null> {
  return {
    write(to, value) {
      flag.write(to, value !== null);
      if (value !== null) inner.write(to, value);
    },
    read: (from) => (flag.read(from) ? inner.read(from) : null),
  };
}

/** Two bytes of count, at most `maxItems`, then the items. */
export function list<T>(inner: Field<T>, maxItems: number): Field<readonly T[]> {
  return {
    write(to, items) {
      assert(items.length <= maxItems, `a list on the link has at most ${maxItems} items`);
      const at = to.take(2);
      to.bytes.writeUInt16LE(items.length, at);
      for (const item of items) inner.write(to, item);
    },
    read(from) {
      const count = from.u16();
      if (count > maxItems) from.fail(`a list of ${count} items, where ${maxItems} are allowed`);
      const items: T[] = [];
      for (let done = 0; done < count && from.failure === null; done += 1) items.push(inner.read(from));
      return items;
    },
  };
}

/** Four bytes of count; the operations themselves travel behind the control part. At most one such field in a message. */
export const operations: Field<readonly Operation[]> = {
  write(to, items) {
    assert(to.operations.length === 0, 'a message has one list of operations');
    const at = to.take(4);
    to.bytes.writeUInt32LE(items.length, at);
    to.operations = items;
  },
  read: (from) => from.operations(from.u32()),
};

/** A field of several: besides, it can fill an object that is there already. */
export interface RecordField<T> extends Field<T> {
  /** Sets the fields of `into`. */
  fill(from: ControlReader, into: object): void;
}

/** The fields of an object one after the other, without names. */
export function record<T extends object>(table: Table<T>): RecordField<T> {
  const fields = Object.entries<Field<unknown>>(table);
  const fill = (from: ControlReader, into: object): void => {
    const found = into as Record<string, unknown>;
    for (let i = 0; i < fields.length; i += 1) found[fields[i]![0]] = fields[i]![1].read(from);
  };
  return {
    write(to, value) {
      const source = value as Readonly<Record<string, unknown>>;
      for (let i = 0; i < fields.length; i += 1) fields[i]![1].write(to, source[fields[i]![0]]);
    },
    read(from) {
      const found = {};
      fill(from, found);
      return found as T;
    },
    fill,
  };
}

/**
 * A field that exists from protocol version `version` on. With an older peer it does not travel, and `absent` is read in
 * its place: this is how a message grows while the servers of a pair are upgraded one at a time.
 */
export function since<T>(version: number, inner: Field<T>, absent: T): Field<T> {
  return {
    write(to, value) {
      if (to.version >= version) inner.write(to, value);
    },
    read: (from) => (from.version >= version ? inner.read(from) : absent),
  };
}
