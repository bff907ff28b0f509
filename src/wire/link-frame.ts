/**
 * The link's frames: the envelope of every message once two servers have shaken hands (docs/link-protocol.md, "Frames").
 * Bytes in, frames out, and the other way round; no sockets.
 *
 *     offset  size  field
 *          0     4  magic "HFlk"
 *          4     1  type: the message's number
 *          5     1  flags: bit 0 "a reader that does not know this type skips the frame"; others zero
 *          6     2  reserved, zero
 *          8     8  counter: begins at a number drawn from the session's key, and grows by one with every frame
 *         16     4  length of the control part, 0..2 MiB
 *         20     4  length of the operations behind it, 0..64 MiB
 *         24     4  crc32c of the control part
 *         28     4  crc32c of bytes 0..27
 *
 * Operations carry checksums of their own (src/wire/operation.ts). Their data are not copied on the way out: a batch is
 * a list of buffers, the data among them. On the way in, a frame stays where it was received, when frames make up most
 * of that memory: a frame that goes on behind it in memory is waited for, one that goes on elsewhere is gathered once, into
 * a buffer of its exact size.
 */
import { crc32c, crc32cWithin } from '../base/crc32c.ts';
import { assert, Fault } from '../base/fault.ts';
import { NO_BYTES } from '../base/operation.ts';
import { joined, newSlab } from '../base/slab.ts';
import type { LinkMessage } from '../ports/link.ts';
import { ControlWriter } from './link-control.ts';
import { encodeControl } from './link-messages.ts';
import { readU64, writeU64 } from './numbers.ts';
import { DATA_BYTES_MAX, encodedBytes, encodeOperationHeader, OPERATION_HEAD_BYTES_MAX } from './operation.ts';
import { Pieces } from './pieces.ts';

export const FRAME_HEADER_BYTES = 32;
/** Largest control part: the largest heartbeat (2048 volumes with names of 255 bytes and store ids as long) fits. */
export const MAX_CONTROL_BYTES = 2 << 20;
/** Most bytes of operations in one frame: the largest single operation, or a batch of that order. */
export const MAX_OPERATIONS_BYTES = 64 << 20;
/** Flag: a reader that does not know the type skips the frame. Newer versions add messages with it. */
export const FLAG_IGNORABLE = 1;
/** Counters begin below 2^48, so that 2^52 frames later they are still exact. */
export const FIRST_COUNTER_LIMIT = 2 ** 48;

assert(MAX_OPERATIONS_BYTES >= DATA_BYTES_MAX + OPERATION_HEAD_BYTES_MAX, 'the largest operation fits into a frame');

/** "HFlk" read as a little-endian number. */
const MAGIC = 0x6b6c_4648;
/** Headers and control parts of a batch are built in pieces of so many bytes. */
const SLAB_BYTES = 64 << 10;
/** Data up to this size are copied into the batch: cheaper than one more buffer for the kernel to gather. */
const COPY_UP_TO_BYTES = 1024;

/** Frames up to this size are waited for where they began; larger ones are gathered as they come. */
const AWAIT_BYTES = 512 << 10;

/** Builds the frames of one direction of one session. What is written between two calls of `begin` is one batch. */
export class FrameWriter {
  /** Bytes of the batch. */
  pendingBytes = 0;
  readonly #control: ControlWriter;
  #counter: number;
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  /** What of the slab belongs to the batch and is not yet in `#pieces`: from `#from` to `#at`. */
  #from = 0;
  #at = 0;
  readonly #pieces = new Pieces();

  /** `counter` is the number of the first frame, as the handshake gave it. */
  constructor(version: number, counter: number) {
    assert(counter >= 0 && counter < FIRST_COUNTER_LIMIT, 'the first counter is below 2^48');
    this.#control = new ControlWriter(version, MAX_CONTROL_BYTES);
    this.#counter = counter;
  }

  /** Adds the message to the batch. The data of its operations are kept until the batch was sent, not copied. */
  write(message: LinkMessage): void {
    const control = this.#control;
    const type = encodeControl(message, control);
    let operationsBytes = 0;
    const { operations } = control;
    for (let i = 0; i < operations.length; i += 1) operationsBytes += encodedBytes(operations[i]!);
    assert(
      operationsBytes <= MAX_OPERATIONS_BYTES,
      `one message carries at most ${MAX_OPERATIONS_BYTES} bytes of operations`,
    );
    this.#header(type, 0, control.bytes, control.at, operationsBytes);
    for (let i = 0; i < operations.length; i += 1) {
      const operation = operations[i]!;
      this.#room(OPERATION_HEAD_BYTES_MAX);
      this.#at += encodeOperationHeader(operation, this.#slab, this.#at);
      this.#data(operation.data);
    }
  }

  /** Adds a frame of any type: what a newer version may send. */
  writeRaw(type: number, flags: number, control: Buffer): void {
    this.#header(type, flags, control, control.length, 0);
  }

  /** The batch, in order, until `begin`; the caller sends it and does not change it. */
  batch(): Pieces {
    this.#close();
    return this.#pieces;
  }

  /** Begins the next batch. `free`: nobody has a view of the last one's pieces, and their memory may be used again. */
  begin(free: boolean): void {
    this.#pieces.clear();
    this.pendingBytes = 0;
    if (free) this.#at = 0;
    this.#from = this.#at;
  }

  /** The batch as views, which may be kept; begins the next one. */
  take(): Buffer[] {
    const parts = this.batch().behind(0);
    this.begin(false);
    return parts;
  }

  #header(type: number, flags: number, control: Buffer, controlBytes: number, operationsBytes: number): void {
    this.#room(FRAME_HEADER_BYTES + controlBytes);
    const slab = this.#slab;
    const at = this.#at;
    slab.writeUInt32LE(MAGIC, at);
    slab[at + 4] = type;
    slab[at + 5] = flags;
    slab.writeUInt16LE(0, at + 6);
    writeU64(slab, at + 8, this.#counter);
    slab.writeUInt32LE(controlBytes, at + 16);
    slab.writeUInt32LE(operationsBytes, at + 20);
    slab.writeUInt32LE(crc32cWithin(control, 0, controlBytes), at + 24);
    slab.writeUInt32LE(crc32cWithin(slab, at, at + 28), at + 28);
    slab.set(controlBytes === control.length ? control : control.subarray(0, controlBytes), at + FRAME_HEADER_BYTES);
    this.#at = at + FRAME_HEADER_BYTES + controlBytes;
    this.#counter += 1;
    this.pendingBytes += FRAME_HEADER_BYTES + controlBytes + operationsBytes;
  }

  #data(data: Buffer): void {
    if (data.length <= COPY_UP_TO_BYTES) {
      this.#room(data.length);
      data.copy(this.#slab, this.#at);
      this.#at += data.length;
    } else {
      this.#close();
      this.#pieces.add(data, 0, data.length);
    }
  }

  /** Makes sure that so many bytes fit at `#at`. */
  #room(bytes: number): void {
    if (bytes <= this.#slab.length - this.#at) return;
    this.#close();
    this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, bytes));
    this.#from = 0;
    this.#at = 0;
  }

  /** What was built so far becomes a part of the batch. */
  #close(): void {
    if (this.#at > this.#from) this.#pieces.add(this.#slab, this.#from, this.#at);
    this.#from = this.#at;
  }
}

/** A frame as it was received. */
export interface Frame {
  readonly type: number;
  readonly ignorable: boolean;
  /** Checked. Valid until the reader is fed again. */
  readonly control: Buffer;
  /** Not yet checked; nobody changes it any more, and slices of it may be kept. */
  readonly operations: Buffer;
}

/** Finds the frames in a stream. Feed it a chunk, then call `next` until it returns null; then feed it the next one. */
export class FrameReader {
  #counter: number;
  #chunk: Buffer = NO_BYTES;
  /** What `#isDense` said of this chunk; null while it was not asked. */
  #dense: boolean | null = null;
  #pinned = false;
  #at = 0;
  /** A header that came in several chunks. */
  readonly #header = Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES);
  #headerFilled = 0;
  /** The frame whose body is being gathered. */
  #type = -1;
  #ignorable = false;
  #controlCrc = 0;
  #control: Buffer = NO_BYTES;
  #operations: Buffer = NO_BYTES;
  #bodyFilled = 0;
  #fault: Fault | null = null;

  /** `counter` is the number that the first frame must bear, as the handshake gave it. */
  constructor(counter: number) {
    this.#counter = counter;
  }

  /** Hands over the next bytes; frames may keep slices of them: the caller changes nothing of what `keeps`. */
  feed(chunk: Buffer): void {
    let next: Buffer | null = chunk;
    if (this.#at < this.#chunk.length && this.#fault === null) {
      next = joined(this.#chunk.subarray(this.#at), chunk);
      if (next === null) this.#gatherRest();
    }
    this.#chunk = next ?? chunk;
    this.#at = 0;
    this.#dense = null;
    this.#pinned = false;
  }

  /** Whether anything of the chunk that was fed last is still referred to: by operations, or as half a frame. */
  get keeps(): boolean {
    return this.#fault === null && (this.#pinned || this.#at < this.#chunk.length);
  }

  /** The next whole frame; null when more bytes are needed; a fault, for ever, once anything was wrong. */
  next(): Frame | Fault | null {
    if (this.#fault !== null) return this.#fault;
    if (this.#type < 0) {
      const begun = this.#begin(true);
      if (begun !== 'gather') return begun;
    }
    return this.#gather();
  }

  /** The frame that was waited for goes on elsewhere: what is here of it is copied. */
  #gatherRest(): void {
    if (this.#begin(false) === 'gather') this.#gather();
    assert(this.#at === this.#chunk.length || this.#fault !== null, 'a chunk is used up before the next one is fed');
  }

  /** Reads a header. The frame itself when all of it is in this chunk. `wait`: it may go on behind this chunk. */
  #begin(wait: boolean): Frame | Fault | null | 'gather' {
    const have = this.#chunk.length - this.#at;
    let header = this.#chunk;
    let at = this.#at;
    if (wait && this.#headerFilled === 0 && have < FRAME_HEADER_BYTES) return null;
    if (this.#headerFilled > 0 || have < FRAME_HEADER_BYTES) {
      const part = Math.min(have, FRAME_HEADER_BYTES - this.#headerFilled);
      this.#chunk.copy(this.#header, this.#headerFilled, this.#at, this.#at + part);
      this.#headerFilled += part;
      this.#at += part;
      if (this.#headerFilled < FRAME_HEADER_BYTES) return null;
      this.#headerFilled = 0;
      header = this.#header;
      at = 0;
    } else {
      this.#at += FRAME_HEADER_BYTES;
    }
    const wrong = checkHeader(header, at, this.#counter);
    if (wrong !== null) return this.#fail(wrong);
    const controlBytes = header.readUInt32LE(at + 16);
    const operationsBytes = header.readUInt32LE(at + 20);
    const whole = this.#chunk.length - this.#at >= controlBytes + operationsBytes;
    if (!whole && wait && header === this.#chunk && controlBytes + operationsBytes <= AWAIT_BYTES) {
      this.#at = at;
      return null;
    }
    this.#counter += 1;
    this.#type = header[at + 4]!;
    this.#ignorable = (header[at + 5]! & FLAG_IGNORABLE) !== 0;
    this.#controlCrc = header.readUInt32LE(at + 24);
    if (whole) return this.#whole(controlBytes, operationsBytes);
    this.#control = controlBytes === 0 ? NO_BYTES : Buffer.allocUnsafe(controlBytes);
    this.#operations = operationsBytes === 0 ? NO_BYTES : newSlab(operationsBytes);
    this.#bodyFilled = 0;
    return 'gather';
  }

  /** The frame is in this chunk from end to end. */
  #whole(controlBytes: number, operationsBytes: number): Frame | Fault {
    const from = this.#at;
    const middle = from + controlBytes;
    this.#at = middle + operationsBytes;
    let operations = NO_BYTES;
    if (operationsBytes > 0) {
      // A slice keeps the whole chunk's memory alive until its operations are released: only where that is not much more.
      this.#dense ??= this.#isDense(middle, operationsBytes);
      operations = this.#chunk.subarray(middle, this.#at);
      if (this.#dense) this.#pinned = true;
      else operations = copyOf(operations);
    }
    return this.#frame(this.#chunk.subarray(from, middle), operations);
  }

  /**
   * Whether the operations that lie in this chunk as a whole make up half of it at least. The first of them are
   * at `at`; where the frames behind them lie is looked up, not checked: it decides on a copy, and nothing else.
   */
  #isDense(at: number, operationsBytes: number): boolean {
    const chunk = this.#chunk;
    const enough = chunk.length / 2;
    let sum = operationsBytes;
    let next = at + operationsBytes;
    while (sum < enough && chunk.length - next >= FRAME_HEADER_BYTES && chunk.readUInt32LE(next) === MAGIC) {
      const operations = chunk.readUInt32LE(next + 20);
      next += FRAME_HEADER_BYTES + chunk.readUInt32LE(next + 16) + operations;
      if (next > chunk.length) break;
      sum += operations;
    }
    return sum >= enough;
  }

  #gather(): Frame | Fault | null {
    const control = this.#control.length;
    const total = control + this.#operations.length;
    if (this.#bodyFilled < control) this.#fill(this.#control, this.#bodyFilled);
    if (this.#bodyFilled >= control) this.#fill(this.#operations, this.#bodyFilled - control);
    return this.#bodyFilled < total ? null : this.#frame(this.#control, this.#operations);
  }

  #fill(into: Buffer, filled: number): void {
    const part = Math.min(this.#chunk.length - this.#at, into.length - filled);
    this.#chunk.copy(into, filled, this.#at, this.#at + part);
    this.#at += part;
    this.#bodyFilled += part;
  }

  #frame(control: Buffer, operations: Buffer): Frame | Fault {
    const frame: Frame = { type: this.#type, ignorable: this.#ignorable, control, operations };
    this.#type = -1;
    this.#control = NO_BYTES;
    this.#operations = NO_BYTES;
    return crc32c(control) === this.#controlCrc ? frame : this.#fail('its control part does not match its checksum');
  }

  #fail(reason: string): Fault {
    this.#fault = new Fault('corrupt', `A frame cannot be read: ${reason}.`);
    this.#chunk = NO_BYTES;
    this.#at = 0;
    return this.#fault;
  }
}

/** Why the header cannot be a frame's; null when it can. */
function checkHeader(header: Buffer, at: number, counter: number): string | null {
  if (header.readUInt32LE(at) !== MAGIC) return 'it does not begin with the magic number';
  if (crc32cWithin(header, at, at + 28) !== header.readUInt32LE(at + 28))
    return 'its header does not match its checksum';
  const found = readU64(header, at + 8);
  if (found !== counter)
    return `its counter is ${found - counter} off: it is of another session, or frames are missing`;
  const flags = header[at + 5]!;
  if ((flags & ~FLAG_IGNORABLE) !== 0 || header.readUInt16LE(at + 6) !== 0) return `it has unknown flags, ${flags}`;
  const controlBytes = header.readUInt32LE(at + 16);
  if (controlBytes > MAX_CONTROL_BYTES)
    return `its control part has ${controlBytes} bytes, ${MAX_CONTROL_BYTES} are allowed`;
  const operationsBytes = header.readUInt32LE(at + 20);
  if (operationsBytes > MAX_OPERATIONS_BYTES) {
    return `its operations have ${operationsBytes} bytes, ${MAX_OPERATIONS_BYTES} are allowed`;
  }
  return null;
}

function copyOf(slice: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(slice.length);
  slice.copy(copy);
  return copy;
}
