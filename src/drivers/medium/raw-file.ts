/**
 * An open raw image: a regular file or a block device, read and written at any byte offset. Both media of this room
 * (directory, image) hand these out as their volumes.
 *
 * Who else sees the bytes decides how it is opened (`Sharing`):
 *
 * - `host`: every server that may own the volume runs on this machine. They share the kernel's cache, so that what one
 *   wrote is what the next one reads; `sync` makes it stable.
 * - `machines`: servers on several machines share the storage. The file is opened O_DSYNC, so that no write returns
 *   before the storage has it and nothing is left dirty in the cache of a machine that may freeze (design, section 5);
 *   range operations are synced before they are reported; and what this machine cached of the image before is dropped
 *   when it is opened.
 *
 * Writes of one turn go to the kernel's cache together, and reads that its cache can answer are answered at once.
 *
 * At most `CALLS_IN_FLIGHT` calls of one image are with the operating system at a time, the others wait in order of
 * arrival: a medium that hangs must not take all threads of the pool from the journals.
 */
import { close, constants, fstat, open, readFile, statfs } from 'node:fs';
import { assert, type Done, Fault, type Result } from '../../base/fault.ts';
import { Ring } from '../../base/ring.ts';
import type { Extent, MediumAbilities, MediumVolume } from '../../ports/medium.ts';
import { deviceDirectory, deviceSizeBytes, dropDeviceCache } from '../linux/block-device.ts';
import { codeOf, faultOfErrno, faultOfError } from '../linux/errno.ts';
import { type CachedRead, readCached } from '../linux/cached-read.ts';
import { WriteBatch } from '../linux/write-batch.ts';
import { dropCachedRange, punchRange, reserveRange, writeBackRange } from '../linux/ranges.ts';
import { type Call, type ImageHandle, READ_BYTES_MAX, ReadCall, SyncCall, WriteCall } from './raw-calls.ts';
import { ExtentsCall, ReserveCall, ZeroCall } from './raw-ranges.ts';

/** Who else reaches the storage: only processes of this machine, or other machines too. */
export type Sharing = 'host' | 'machines';

/** Calls of one image that are with the operating system at a time. */
export const CALLS_IN_FLIGHT = 16;
/** Calls of one image that wait behind them; the core keeps far fewer on their way than this. */
export const CALLS_WAITING_MAX = 65_536;

/** Reads up to this size are tried in the kernel's cache first, on this thread: copying more would hold it up. */
const CACHED_READ_BYTES_MAX = 64 << 10;
/**
 * What goes to the kernel's cache goes in writes of at most so many bytes. The cache keeps what one call wrote in one
 * folio, as large as the call, and walks all blocks of a folio whenever one of them is written and synced later: behind
 * writes of 1 MiB, a 4 KiB write at random costs three times as much processor time as behind writes of this size.
 */
const CACHE_WRITE_BYTES_MAX = 128 << 10;
/**
 * A batch of so many writes is sent to the storage before the next one begins. Left to the sync at the end, 16,000 blocks
 * fill the disk's queue at once, and whoever shares the disk, a journal or a read, waits behind all of them, 2 to 8 ms;
 * behind one batch it is less than one.
 */
const WRITTEN_BACK_FROM = 32;

/** File systems that write every version of a block to a new place: room held for a range is no room for its rewriting. */
const COPYING_FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0x9123_683e /* btrfs */, 0x2fc1_2fc1 /* zfs */, 0xca45_1a4e,
]);

/**
 * Opens the image at `path`. Faults: `missing`; `refused` when it is neither file nor device or may not be written;
 * `corrupt` when it is not of `expectedBytes` (null: of any size).
 */
export function openRawFile(
  path: string,
  sharing: Sharing,
  expectedBytes: number | null,
  done: Result<MediumVolume>,
): void {
  const flags = constants.O_RDWR | (sharing === 'machines' ? constants.O_DSYNC : 0);
  openForReading(path, flags, (error, fd, quiet) => {
    if (error !== null) return done(faultOfError(error, `Opening the image ${path}`), null);
    const fail = (fault: Fault): void => close(fd, () => done(fault, null));
    examine(fd, path, expectedBytes, (fault, image) => {
      if (fault !== null) return fail(fault);
      forget(image, sharing, (stale) => {
        if (stale !== null) return fail(stale);
        tryAbilities(image, (abilities) => done(null, new RawFile(image, sharing, abilities, quiet)));
      });
    });
  });
}

/**
 * Opens without times of access, where that is permitted: `quiet`. Noting one is a modification, for which a read that
 * the kernel's cache can answer would wait as long as the disk hangs.
 */
function openForReading(
  path: string,
  flags: number,
  done: (error: NodeJS.ErrnoException | null, fd: number, quiet: boolean) => void,
): void {
  open(path, flags | constants.O_NOATIME, (error, fd) => {
    if (error?.code !== 'EPERM') return done(error, fd, true);
    open(path, flags, (again, loud) => done(again, loud, false));
  });
}

interface Image {
  readonly fd: number;
  readonly path: string;
  readonly isDevice: boolean;
  readonly sizeBytes: number;
  /** The directory of /sys that describes the device. */
  readonly system: string;
}

type Examined = (...answer: [fault: Fault, image: null] | [fault: null, image: Image]) => void;

/** What was opened, and how big it really is. */
function examine(fd: number, path: string, expectedBytes: number | null, done: Examined): void {
  fstat(fd, { bigint: true }, (error, found) => {
    if (error !== null) return done(faultOfError(error, `Looking at the image ${path}`), null);
    let sizeBytes: number;
    try {
      if (found.isFile()) sizeBytes = Number(found.size);
      else if (found.isBlockDevice()) sizeBytes = deviceSizeBytes(fd, path);
      else return done(new Fault('refused', `${path} is neither a file nor a block device.`), null);
    } catch (cause) {
      return done(faultOfError(cause, `Looking at the image ${path}`), null);
    }
    if (expectedBytes !== null && sizeBytes !== expectedBytes) {
      const message = `The image ${path} has ${sizeBytes} bytes; it was created with ${expectedBytes}.`;
      return done(new Fault('corrupt', message), null);
    }
    const system = deviceDirectory(found.rdev);
    done(null, { fd, path, isDevice: found.isBlockDevice(), sizeBytes, system });
  });
}

/** Where other machines write too, nothing that this one cached earlier is believed. */
function forget(image: Image, sharing: Sharing, done: Done): void {
  if (sharing === 'host') return done(null);
  const dropped = (errno: number): void =>
    done(errno === 0 ? null : faultOfErrno(errno, `Dropping what this machine cached of ${image.path}`));
  if (image.isDevice) dropDeviceCache(image.fd, dropped);
  else dropCachedRange(image.fd, 0, 0, dropped);
}

/** Finds out what the image can, without changing a byte of it. */
function tryAbilities(image: Image, done: (abilities: MediumAbilities) => void): void {
  if (image.isDevice) {
    return canDiscard(image.system, (punch) => done({ punch, reserve: false, extents: false, generations: false }));
  }
  // A hole behind the end of the file changes nothing; a file system that cannot punch says so all the same.
  const behind = Math.ceil((image.sizeBytes + 1) / 4096) * 4096;
  punchRange(image.fd, behind, 4096, (punchErrno) => {
    // Room for the first byte, which a volume that is used at all needs anyway.
    reserveRange(image.fd, 0, 1, (reserveErrno) => {
      const holds = reserveErrno === 0 || codeOf(reserveErrno) === 'ENOSPC' || codeOf(reserveErrno) === 'EDQUOT';
      statfs(image.path, (error, found) => {
        const copies = error !== null || COPYING_FILE_SYSTEMS.has(found.type >>> 0);
        done({ punch: punchErrno === 0, reserve: holds && !copies, extents: true, generations: false });
      });
    });
  });
}

/** Whether the device gives room back. A partition's queue is its disk's. */
function canDiscard(system: string, done: (can: boolean) => void): void {
  readFile(`${system}/queue/discard_max_bytes`, 'utf8', (error, text) => {
    if (error === null) return done(Number(text) > 0);
    readFile(`${system}/../queue/discard_max_bytes`, 'utf8', (noDisk, ofDisk) =>
      done(noDisk === null && Number(ofDisk) > 0),
    );
  });
}

class RawFile implements MediumVolume, ImageHandle {
  readonly abilities: MediumAbilities;
  readonly tree = null;
  readonly fd: number;
  readonly path: string;
  readonly isDevice: boolean;
  /** Range operations are synced before they are reported. */
  readonly syncsRanges: boolean;
  /** The file system turned out not to zero ranges by itself. */
  writesZeroes = false;
  readonly #sizeBytes: number;
  readonly #waiting = new Ring<Call>();
  /** Writes that the next batches take; the core bounds what is on its way. */
  #gathered: WriteCall[] = [];
  #gathering = false;
  /** A batch is on its way, to the cache or from there. */
  #batching = false;
  /** The last byte that the batch before sent to the storage; null when none has since the last sync. */
  #sentTo: number | null = null;
  /** The kernel writes nothing back by ranges. */
  #keepsBack = false;
  /** Null where each write is a call of its own: O_DSYNC ones wait for the storage, and had better wait side by side. */
  readonly #batch: WriteBatch | null;
  #readsCached: boolean;
  #inFlight = 0;
  #closing: Done[] | null = null;
  #closed = false;
  #may: () => boolean = always;

  constructor(image: Image, sharing: Sharing, abilities: MediumAbilities, quiet: boolean) {
    this.#readsCached = quiet || image.isDevice;
    this.abilities = abilities;
    this.fd = image.fd;
    this.path = image.path;
    this.isDevice = image.isDevice;
    this.syncsRanges = sharing === 'machines';
    this.#sizeBytes = image.sizeBytes;
    this.#batch = sharing === 'host' && !image.isDevice ? WriteBatch.make() : null;
  }

  sizeBytes(target: string): number {
    assert(target === '', 'a block volume has one object');
    return this.#sizeBytes;
  }

  read(target: string, offset: number, length: number, done: Result<Buffer>): void {
    const refusal = this.#refusal(target, offset, length);
    if (refusal !== null) process.nextTick(done, refusal, null);
    else if (length > READ_BYTES_MAX)
      process.nextTick(done, new Fault('refused', 'One read takes 1 GiB at most.'), null);
    else if (this.#readsCached && length <= CACHED_READ_BYTES_MAX) this.#readCached(offset, length, done);
    else this.#run(new ReadCall(this, offset, length, false, done));
  }

  /** From the kernel's cache, or in the ordinary way what is not all there. */
  #readCached(offset: number, length: number, done: Result<Buffer>): void {
    const buffer = Buffer.allocUnsafe(length);
    const outcome: CachedRead = readCached(this.fd, buffer, offset);
    if (outcome === 'read') return process.nextTick(done, null, buffer);
    if (outcome === 'unsupported') this.#readsCached = false;
    this.#run(new ReadCall(this, offset, length, false, done));
  }

  write(target: string, offset: number, data: readonly Buffer[], done: Done): void {
    let length = 0;
    for (const piece of data) length += piece.length;
    const refusal = this.#refusal(target, offset, length);
    if (refusal !== null) return process.nextTick(done, refusal);
    const call = new WriteCall(this, offset, data, length, done);
    if (this.#batch === null) return this.#run(call);
    this.#gathered.push(call);
    if (this.#gathering) return;
    this.#gathering = true;
    process.nextTick(this.#writeGathered);
  }

  /** The writes of one turn: a single one is a call like any other, several are a batch. */
  readonly #writeGathered = (): void => {
    this.#gathering = false;
    const batch = this.#batch;
    if (batch === null || this.#batching || this.#gathered.length === 0) return;
    if (!this.#may()) {
      for (const call of this.#gathered.splice(0)) process.nextTick(failCall, call, this.#lateness());
      return;
    }
    const [first] = this.#gathered;
    for (const { offset, pieces } of this.#gathered)
      if (!batch.add(this.fd, offset, pieces, CACHE_WRITE_BYTES_MAX)) break;
    const calls = this.#gathered.splice(0, Math.max(1, batch.added));
    // One alone, which may be too large for any batch.
    if (first !== undefined && calls.length === 1 && (batch.added === 0 || first.length <= CACHE_WRITE_BYTES_MAX)) {
      batch.clear();
      this.#run(first);
      return this.#writeGathered();
    }
    this.#inFlight += 1;
    this.#batching = true;
    batch.run(() => {
      if (calls.length < WRITTEN_BACK_FROM || this.#keepsBack) this.#batchEnded(batch, calls, 0);
      else this.#writeBack(calls, (errno) => this.#batchEnded(batch, calls, errno));
    });
  };

  /**
   * A sustained load: what it wrote is sent to the storage at once, a little at a time. The batch before has to have
   * arrived there first: its last byte stands for it, since disks take what they are given more or less in order. Waited
   * for byte by byte, or right after it was sent, it would wake a thread a dozen times. A batch is told as written before
   * it arrives: that it did not is told to whoever waits next, a later batch or the sync, and fails that (trap T24).
   */
  #writeBack(calls: readonly WriteCall[], done: (errno: number) => void): void {
    let from = Number.POSITIVE_INFINITY;
    let to = 0;
    for (const { offset, length } of calls) {
      from = Math.min(from, offset);
      to = Math.max(to, offset + length);
    }
    const before = this.#sentTo ?? from;
    this.#sentTo = to - 1;
    from = Math.min(from, before);
    writeBackRange(this.fd, from, Math.max(to, before + 1) - from, (errno) => {
      // A disk's error can be told as "not supported", too, but not as a call that there is none of.
      this.#keepsBack = errno !== 0 && codeOf(errno) === 'ENOSYS';
      done(this.#keepsBack ? 0 : errno);
    });
  }

  #batchEnded(batch: WriteBatch, calls: readonly WriteCall[], errno: number): void {
    this.#inFlight -= 1;
    this.#batching = false;
    for (let i = 0; i < calls.length; i += 1) {
      const call = calls[i]!;
      // Of this batch or of one before. No sync would tell of it again.
      if (errno !== 0) call.fail(faultOfErrno(errno, `Writing to ${this.path}`));
      // What the kernel did not take as a whole is written again by itself, and says what is wrong with it.
      else if (batch.wrote(i)) call.written();
      else this.#run(call);
    }
    this.#startNext();
    this.#writeGathered();
    this.#closeWhenIdle();
  }

  zero(target: string, offset: number, length: number, punch: boolean, done: Done): void {
    const refusal = this.#refusal(target, offset, length);
    if (refusal !== null) process.nextTick(done, refusal);
    else this.#run(new ZeroCall(this, offset, length, punch && this.abilities.punch, done));
  }

  resize(target: string, _sizeBytes: number, done: Done): void {
    process.nextTick(done, this.#noFile(target));
  }

  stamp(target: string, _timeNs: bigint, done: Done): void {
    process.nextTick(done, this.#noFile(target));
  }

  #noFile(target: string): Fault {
    return new Fault('refused', `The image ${this.path} is a block volume's and has no file "${target}".`);
  }

  sync(done: Done): void {
    if (this.#closing !== null) process.nextTick(done, new Fault('refused', `The image ${this.path} is closed.`));
    else {
      this.#sentTo = null;
      this.#run(new SyncCall(this, done));
    }
  }

  reserve(target: string, offset: number, length: number, done: Done): void {
    const refusal = this.#refusal(target, offset, length);
    if (refusal !== null || !this.abilities.reserve) process.nextTick(done, refusal);
    else this.#run(new ReserveCall(this, offset, length, done));
  }

  extents(target: string, offset: number, length: number, done: Result<readonly Extent[]>): void {
    const refusal = this.#refusal(target, offset, length);
    if (refusal !== null) process.nextTick(done, refusal, null);
    else this.#run(new ExtentsCall(this, offset, length, done));
  }

  close(done: Done): void {
    if (this.#closed) return process.nextTick(done, null);
    if (this.#closing !== null) return void this.#closing.push(done);
    this.#closing = [done];
    const fault = new Fault('refused', `The image ${this.path} was closed before the call began.`);
    for (let call = this.#waiting.shift(); call !== undefined; call = this.#waiting.shift()) {
      process.nextTick(failCall, call, fault);
    }
    for (const call of this.#gathered.splice(0)) process.nextTick(failCall, call, fault);
    this.#closeWhenIdle();
  }

  /** A call has returned; called by it just before it reports its outcome. */
  returned(): void {
    this.#inFlight -= 1;
    this.#startNext();
    this.#closeWhenIdle();
  }

  #startNext(): void {
    if (this.#inFlight >= CALLS_IN_FLIGHT) return;
    let next = this.#waiting.shift();
    while (next !== undefined && this.#isLate(next)) {
      process.nextTick(failCall, next, this.#lateness());
      next = this.#waiting.shift();
    }
    if (next === undefined) return;
    this.#inFlight += 1;
    next.start();
  }

  onlyWhile(may: () => boolean): void {
    this.#may = may;
  }

  /** A modification that had to wait, and is not wanted any more. */
  #isLate(call: Call): boolean {
    return (call instanceof WriteCall || call instanceof ZeroCall) && !this.#may();
  }

  #lateness(): Fault {
    return new Fault('refused', `The image ${this.path} may not be written any more: the call was not begun.`);
  }

  #run(call: Call): void {
    if (this.#inFlight < CALLS_IN_FLIGHT) {
      this.#inFlight += 1;
      call.start();
    } else if (this.#waiting.length < CALLS_WAITING_MAX) {
      this.#waiting.push(call);
    } else {
      process.nextTick(failCall, call, new Fault('retry', `Too many calls wait for the image ${this.path}.`));
    }
  }

  #closeWhenIdle(): void {
    if (this.#closing === null || this.#closed || this.#inFlight > 0) return;
    const waiting = this.#closing;
    this.#closed = true;
    close(this.fd, (error) => {
      const fault = error === null ? null : faultOfError(error, `Closing the image ${this.path}`);
      for (const done of waiting) done(fault);
    });
  }

  #refusal(target: string, offset: number, length: number): Fault | null {
    if (this.#closing !== null) return new Fault('refused', `The image ${this.path} is closed.`);
    if (target !== '') return new Fault('missing', `The image ${this.path} has no object named "${target}".`);
    const end = offset + length;
    if (Number.isSafeInteger(end) && Number.isInteger(offset) && offset >= 0 && length > 0 && end <= this.#sizeBytes)
      return null;
    const range = `${length} bytes from ${offset}`;
    return new Fault('refused', `${range} do not lie within the ${this.#sizeBytes} bytes of ${this.path}.`);
  }
}

const always = (): boolean => true;

function failCall(call: Call, fault: Fault): void {
  call.fail(fault);
}
