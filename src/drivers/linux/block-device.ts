/**
 * Block devices: size, zeroing, dropping the kernel's cached pages, and the identity that the device itself reports.
 *
 * BLKDISCARD is left out on purpose: it does not promise that the range reads as zeroes afterwards, and a trim here
 * does. The request codes are those of <linux/fs.h> on every architecture that Node runs on but the POWER and MIPS ones.
 */
import { readFile, readlink } from 'node:fs';
import { Fault, type Result } from '../../base/fault.ts';
import { codeOf, faultOfErrno, faultOfError } from './errno.ts';
import { libc, onThreadPool } from './libc.ts';
import type { RangeDone } from './ranges.ts';

/** _IOR(0x12, 114, size_t): size in bytes, into a 64-bit number. */
const BLKGETSIZE64 = 0x8008_1272;
/** _IO(0x12, 127): zeroes a range given as two 64-bit numbers, by the device where it can, by writing where not. */
const BLKZEROOUT = 0x127f;
/** _IO(0x12, 97): writes back what is dirty and drops the cached pages. */
const BLKFLSBUF = 0x1261;

/** Size of the open block device in bytes. Throws a Fault. The kernel knows it: no I/O. */
export function deviceSizeBytes(fd: number, path: string): number {
  const library = libc();
  const size = new BigUint64Array(1);
  if (library.ioctl(fd, BLKGETSIZE64, size) !== 0) throw faultOfErrno(library.errno(), `Reading the size of ${path}`);
  return Number(size[0]);
}

/** The range of the device reads as zeroes. Offset and length are multiples of its logical block size. */
export function zeroDevice(fd: number, offset: number, length: number, done: RangeDone): void {
  const range = BigUint64Array.of(BigInt(offset), BigInt(length));
  onThreadPool(
    (library, finished) => library.ioctl.async(fd, BLKZEROOUT, range, finished),
    (result, errno) => {
      if (result < 0 && codeOf(errno) === 'EINTR') zeroDevice(fd, offset, length, done);
      else done(result < 0 ? errno : 0);
    },
  );
}

/** Nothing that this machine cached of the device is believed any more. Needs CAP_SYS_ADMIN: EACCES without it. */
export function dropDeviceCache(fd: number, done: RangeDone): void {
  const unused = new BigUint64Array(1);
  onThreadPool(
    (library, finished) => library.ioctl.async(fd, BLKFLSBUF, unused, finished),
    (result, errno) => done(result < 0 ? errno : 0),
  );
}

/** The directory of /sys that describes the device with the device number `rdev`, as stat gives it. */
export function deviceDirectory(rdev: bigint): string {
  return `/sys/dev/block/${major(rdev)}:${minor(rdev)}`;
}

/** Files below /sys/dev/block/MAJOR:MINOR that name the device wherever it is attached, in order of preference. */
const IDENTITY_FILES: readonly string[] = [
  'wwid',
  'device/wwid',
  'uuid',
  'dm/uuid',
  'md/uuid',
  'serial',
  'device/serial',
  'loop/backing_file',
];

/**
 * What the device reports about itself that no other device shares and that is the same on every machine: a kind and a
 * value, and for a partition its place on the disk. Fault `refused` when it reports nothing. `rdev` is the device
 * number as stat gives it.
 */
export function deviceIdentity(rdev: bigint, path: string, done: Result<string>): void {
  const directory = deviceDirectory(rdev);
  readlink(directory, (error) => {
    if (error !== null) return done(faultOfError(error, `Looking for ${path} in ${directory}`), null);
    readFirst(directory, ['partition'], (partition) => {
      if (partition === null) return firstIdentity(directory, path, '', done);
      // A partition is named by its disk, its number and where it begins (in sectors of 512 bytes).
      readFirst(directory, ['start'], (start) => {
        const place = ` partition ${partition.value} from ${start?.value ?? '?'}`;
        firstIdentity(`${directory}/..`, path, place, done);
      });
    });
  });
}

function firstIdentity(directory: string, path: string, place: string, done: Result<string>): void {
  readFirst(directory, IDENTITY_FILES, (found) => {
    if (found !== null) return done(null, `${found.file} ${found.value}${place}`);
    done(new Fault('refused', `The device ${path} reports no serial number or other identity of its own.`), null);
  });
}

interface Found {
  readonly file: string;
  readonly value: string;
}

/** The first of `files` in `directory` that can be read and is not empty. */
function readFirst(directory: string, files: readonly string[], done: (found: Found | null) => void): void {
  const [file, ...rest] = files;
  if (file === undefined) return done(null);
  readFile(`${directory}/${file}`, 'utf8', (error, text) => {
    const value = error === null ? text.trim() : '';
    if (value !== '') done({ file, value });
    else readFirst(directory, rest, done);
  });
}

/** The C library's gnu_dev_major. */
function major(rdev: bigint): bigint {
  return ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xffff_f000n);
}

/** The C library's gnu_dev_minor. */
function minor(rdev: bigint): bigint {
  return (rdev & 0xffn) | ((rdev >> 12n) & 0xffff_ff00n);
}
