/**
 * What statx says of an object, in our words.
 */
import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  statAt,
  statFd,
} from '../../linux/at-calls.ts';
import type { Attributes, ObjectType } from '../../../ports/tree.ts';

const TYPES: ReadonlyMap<number, ObjectType> = new Map([
  [S_IFREG, 'file'],
  [S_IFDIR, 'directory'],
  [S_IFLNK, 'symlink'],
  [S_IFBLK, 'block'],
  [S_IFCHR, 'character'],
  [S_IFIFO, 'fifo'],
  [S_IFSOCK, 'socket'],
]);

const STATX_BTIME = 0x800;

/** The last `look` of a thread. Read what is needed before the next one. */
export class Inode {
  readonly #bytes = Buffer.alloc(256);

  /** Looks at what `fd` leads to: 0, or the negative errno. */
  lookFd(fd: number): number {
    return statFd(fd, this.#bytes);
  }

  lookAt(fd: number, name: string): number {
    return statAt(fd, name, this.#bytes);
  }

  get number(): bigint {
    return this.#bytes.readBigUInt64LE(32);
  }
  /** When it was made; null where the file system does not tell. */
  get bornNs(): bigint | null {
    return (this.#bytes.readUInt32LE(0) & STATX_BTIME) === 0 ? null : this.#timeNs(80);
  }
  get links(): number {
    return this.#bytes.readUInt32LE(16);
  }
  get mode(): number {
    return this.#bytes.readUInt16LE(28);
  }
  get uid(): number {
    return this.#bytes.readUInt32LE(20);
  }
  get gid(): number {
    return this.#bytes.readUInt32LE(24);
  }
  get sizeBytes(): number {
    return Number(this.#bytes.readBigUInt64LE(40));
  }
  /** Of the file system that it lies on. */
  get device(): string {
    return `${this.#bytes.readUInt32LE(136)}:${this.#bytes.readUInt32LE(140)}`;
  }
  get type(): ObjectType {
    return TYPES.get(this.mode & S_IFMT) ?? 'file';
  }
  get isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }
  get isFile(): boolean {
    return (this.mode & S_IFMT) === S_IFREG;
  }

  attributes(): Attributes {
    const bytes = this.#bytes;
    return {
      type: this.type,
      mode: this.mode & 0o7777,
      links: this.links,
      uid: this.uid,
      gid: this.gid,
      sizeBytes: this.sizeBytes,
      usedBytes: Number(bytes.readBigUInt64LE(48)) * 512,
      major: bytes.readUInt32LE(128),
      minor: bytes.readUInt32LE(132),
      fileNumber: this.number,
      atimeNs: this.#timeNs(64),
      mtimeNs: this.#timeNs(112),
      ctimeNs: this.#timeNs(96),
    };
  }

  /** struct statx_timestamp: seconds (8), nanoseconds (4). */
  #timeNs(where: number): bigint {
    return this.#bytes.readBigInt64LE(where) * 1_000_000_000n + BigInt(this.#bytes.readUInt32LE(where + 8));
  }
}
