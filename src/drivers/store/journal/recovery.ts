/**
 * What a ring holds: finds the newest whole group, verifies every byte of everything it needs, and tells a torn tail
 * from damage. Reads only.
 *
 * A group is written only after the one before it was synced. So at most the newest group can be torn, whatever the
 * power failure did to it, sector by sector; everything before it was once stable, and if it is not whole now that is
 * damage. The newest group is taken for torn only where nothing contradicts it:
 * - no valid group follows it (there is none: it is the newest), and the one before it is whole and linked to it;
 * - its header is gone without a trace. Headers lie within one sector, which is written whole or not at all: half a
 *   header is damage;
 * - no group of the log knows an operation beyond the cut to be acknowledged, if the log is a complete copy (I11).
 */
import { promisify } from 'node:util';
import { Fault } from '../../../base/fault.ts';
import type { Sequence } from '../../../base/names.ts';
import type { Operation } from '../../../base/operation.ts';
import type { RecoveredLog } from '../../../ports/store.ts';
import {
  decodeGroupHeader,
  decodeGroupOperations,
  type FoundHeader,
  GROUP_ALIGNMENT,
  GROUP_HEADER_BYTES,
  type GroupPlace,
  looksLikeGroup,
  SUPERBLOCK_BYTES,
  type Superblock,
} from '../../../wire/journal.ts';
import type { JournalFile } from './file.ts';

/** Read at a time while looking for headers. */
const SCAN_BYTES = 1 << 20;

/** A group of the log, as found. */
export interface FoundGroup extends GroupPlace {
  readonly bytes: number;
  /** Sequences of its operations above the released ones, in its order. */
  readonly sequences: readonly Sequence[];
}

/** What was found, and where to go on. */
export interface Recovery {
  readonly log: RecoveredLog | null;
  /** The header of the newest whole group. */
  readonly newest: FoundHeader;
  /** The groups from the oldest one needed to the newest, contiguous. */
  readonly groups: readonly FoundGroup[];
}

/** Throws a Fault: `corrupt` for damage, `io` when the file cannot be read. */
export async function recoverRing(file: JournalFile, superblock: Superblock): Promise<Recovery> {
  const ring = new RingReader(file, superblock);
  // What a killed process left in the kernel's cache is not stable yet, and must be before it is relied on.
  await promisify(file.sync.bind(file))();
  const headers = await ring.scan();
  const last = headers.newest;
  let newest = last;
  let tornBytes = 0;
  const bodies = new Map<number, readonly Operation[]>();
  const body = await ring.operations(last);
  if (body instanceof Fault) {
    newest = headers.before(last, body);
    tornBytes = last.bytes;
    const before = await ring.operations(newest);
    if (before instanceof Fault)
      throw damaged(file, ring.offset(newest.position), 'it was synced, and is not whole', before);
    bodies.set(newest.number, before);
  } else {
    bodies.set(newest.number, body);
    await ring.assertNothingHalfThere(newest);
  }
  const chain = headers.chain(newest);
  for (const header of chain) {
    if (bodies.has(header.number) || header.number < newest.logNumber) continue;
    const operations = await ring.operations(header);
    if (operations instanceof Fault) {
      throw damaged(file, ring.offset(header.position), 'it was synced, and is not whole', operations);
    }
    bodies.set(header.number, operations);
  }
  const groups = chain.map((header) => ({
    number: header.number,
    position: header.position,
    bytes: header.bytes,
    sequences: header.number < newest.logNumber ? [] : neededOf(bodies.get(header.number) ?? [], newest.released),
  }));
  const log = logOf(file, newest, bodies, headers.acknowledged(newest), tornBytes);
  return { log, newest, groups };
}

/** Puts the operations in order and checks that they are one contiguous log; null when there is no log. */
function logOf(
  file: JournalFile,
  newest: FoundHeader,
  bodies: ReadonlyMap<number, readonly Operation[]>,
  acknowledged: Sequence,
  tornBytes: number,
): RecoveredLog | null {
  const head = newest.head;
  if (head === null) return null;
  const operations: Operation[] = [];
  for (const body of bodies.values()) {
    for (const operation of body) if (operation.sequence > newest.released) operations.push(operation);
  }
  operations.sort((a, b) => a.sequence - b.sequence);
  let expected = newest.released + 1;
  for (const operation of operations) {
    if (operation.epoch !== head.epoch || operation.sequence !== expected) {
      throw new Fault(
        'corrupt',
        `The journal ${file.path} is damaged: operation ${expected} of epoch ${head.epoch} should come next, ` +
          `(${operation.epoch}, ${operation.sequence}) does.`,
      );
    }
    expected += 1;
  }
  if (tornBytes > 0 && head.complete && acknowledged >= expected) {
    throw new Fault(
      'corrupt',
      `The journal ${file.path} is damaged: its last group is not whole, and operation ${acknowledged} of epoch ` +
        `${head.epoch}, which was in it, is known to have been acknowledged.`,
    );
  }
  return { head, released: newest.released, acknowledged, operations, tornBytes };
}

function neededOf(operations: readonly Operation[], released: Sequence): Sequence[] {
  const sequences: Sequence[] = [];
  for (const operation of operations) if (operation.sequence > released) sequences.push(operation.sequence);
  return sequences;
}

function damaged(file: JournalFile, offset: number, what: string, cause?: Fault): Fault {
  const detail = cause === undefined ? '' : `: ${cause.message}`;
  return new Fault(
    'corrupt',
    `The journal ${file.path} is damaged in the group at byte ${offset}: ${what}${detail}.`,
    cause,
  );
}

/** Every valid header in the ring. */
class Headers {
  readonly newest: FoundHeader;
  readonly #byNumber: ReadonlyMap<number, FoundHeader>;
  readonly #ring: RingReader;

  constructor(ring: RingReader, newest: FoundHeader, byNumber: ReadonlyMap<number, FoundHeader>) {
    this.#ring = ring;
    this.newest = newest;
    this.#byNumber = byNumber;
  }

  /** The group before `torn`, which must be there and linked to it: `finding` says what is wrong with `torn`. */
  before(torn: FoundHeader, finding: Fault): FoundHeader {
    const before = this.#byNumber.get(torn.number - 1);
    const { file } = this.#ring;
    if (before === undefined || !follows(before, torn)) {
      throw damaged(
        file,
        this.#ring.offset(torn.position),
        'it is not whole, and neither is the one before it',
        finding,
      );
    }
    return before;
  }

  /** The groups that `newest` needs, oldest first, itself last. */
  chain(newest: FoundHeader): FoundHeader[] {
    const { file } = this.#ring;
    const chain: FoundHeader[] = [newest];
    let next = newest;
    while (next.number > newest.tail.number) {
      const before = this.#byNumber.get(next.number - 1);
      if (before === undefined || !follows(before, next)) {
        throw damaged(file, this.#ring.offset(next.previousPosition), 'it is needed, and its header is not there');
      }
      chain.push(before);
      next = before;
    }
    const spanned = newest.position + newest.bytes - next.position;
    if (next.position !== newest.tail.position || next.number !== newest.tail.number || spanned > this.#ring.bytes) {
      throw damaged(file, this.#ring.offset(newest.position), 'what it says of the oldest group needed is not so');
    }
    return chain.reverse();
  }

  /** The highest acknowledged number that any group of the log of `newest` knows, a torn one too. */
  acknowledged(newest: FoundHeader): Sequence {
    let highest = newest.acknowledged;
    for (const header of this.#byNumber.values()) {
      if (header.logNumber === newest.logNumber && header.acknowledged > highest) highest = header.acknowledged;
    }
    return highest;
  }
}

function follows(before: FoundHeader, next: FoundHeader): boolean {
  return (
    before.position + before.bytes === next.position &&
    next.previousPosition === before.position &&
    next.previousCrc === before.crc
  );
}

/** Reads the ring by positions. */
class RingReader {
  readonly file: JournalFile;
  readonly bytes: number;
  readonly #key: Buffer;
  readonly #read: (into: Buffer, at: number) => Promise<void>;

  constructor(file: JournalFile, superblock: Superblock) {
    this.file = file;
    this.bytes = superblock.ringBytes;
    this.#key = superblock.key;
    this.#read = promisify(file.read.bind(file)) as (into: Buffer, at: number) => Promise<void>;
  }

  /** Where `position` lies in the file. */
  offset(position: number): number {
    return SUPERBLOCK_BYTES + (position % this.bytes);
  }

  /** Looks for headers at every block. */
  async scan(): Promise<Headers> {
    const byNumber = new Map<number, FoundHeader>();
    let newest: FoundHeader | null = null;
    const buffer = Buffer.allocUnsafe(SCAN_BYTES);
    for (let from = 0; from < this.bytes; from += SCAN_BYTES) {
      const piece = buffer.subarray(0, Math.min(SCAN_BYTES, this.bytes - from));
      await this.#read(piece, SUPERBLOCK_BYTES + from);
      for (let at = 0; at < piece.length; at += GROUP_ALIGNMENT) {
        const header = decodeGroupHeader(piece, at, this.#key);
        if (header === null || header.position % this.bytes !== from + at) continue;
        const twin = byNumber.get(header.number);
        if (twin !== undefined) {
          throw damaged(
            this.file,
            this.offset(header.position),
            `its number is also that of the group at byte ${this.offset(twin.position)}`,
          );
        }
        byNumber.set(header.number, header);
        if (newest === null || header.number > newest.number) newest = header;
      }
    }
    // A ring is created with its first group in it.
    if (newest === null)
      throw new Fault('corrupt', `The journal ${this.file.path} is damaged: no group is left in it.`);
    return new Headers(this, newest, byNumber);
  }

  /** The verified operations of a group; a fault `corrupt` when it is not whole. */
  async operations(header: FoundHeader): Promise<Operation[] | Fault> {
    if (header.bytes > this.bytes) return new Fault('corrupt', `a group of ${header.bytes} bytes`);
    const bytes = await this.#bytesAt(header.position, header.bytes);
    // Read again, not remembered: the header that counts is the one whose group is verified.
    const again = decodeGroupHeader(bytes, 0, this.#key);
    if (again === null || again.crc !== header.crc)
      return new Fault('corrupt', 'its header reads differently each time');
    return decodeGroupOperations(header, bytes);
  }

  /** Throws when there are remains of a header where the group after `newest` would be. */
  async assertNothingHalfThere(newest: FoundHeader): Promise<void> {
    const position = newest.position + newest.bytes;
    const bytes = await this.#bytesAt(position, GROUP_ALIGNMENT);
    if (decodeGroupHeader(bytes, 0, this.#key) !== null) return;
    if (looksLikeGroup(bytes, 0) || this.#key.compare(bytes, 16, 32) === 0) {
      throw damaged(
        this.file,
        this.offset(position),
        `its header of ${GROUP_HEADER_BYTES} bytes does not match its checksum`,
      );
    }
  }

  async #bytesAt(position: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(length);
    const at = position % this.bytes;
    const first = Math.min(length, this.bytes - at);
    await this.#read(bytes.subarray(0, first), SUPERBLOCK_BYTES + at);
    if (first < length) await this.#read(bytes.subarray(first), SUPERBLOCK_BYTES);
    return bytes;
  }
}
