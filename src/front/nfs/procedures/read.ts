/**
 * READ (RFC 1813, section 3.3.6): as far as the file reaches when the answer is given. One object per request, no promise.
 */
import type { Fault } from '../../../base/fault.ts';
import type { ReadPiece, ReadRequest } from '../../../ports/service.ts';
import { NfsStatus } from '../../../wire/nfs/types.ts';
import type { ArgumentsOf } from '../../../wire/nfs/types.ts';
import { Unanswered, failureOf, isFailure, type Failure } from '../faults.ts';
import type { Inode } from '../inode.ts';
import { AuthorityCall, crash } from '../on-tree.ts';
import { mayRead, type Actor } from '../permissions.ts';
import type { NfsReply } from '../program.ts';
import type { Volume } from '../volume.ts';

/** A file that grows or is cut while it is read is read again, so often at most. */
const ATTEMPTS = 4;

export function read(volume: Volume, asked: ArgumentsOf<'read'>, actor: Actor, reply: NfsReply): void {
  const inode = volume.inodes.known(asked.handle);
  if (inode !== undefined) return begin(volume, asked, actor, reply, inode);
  volume.inodes.ofHandle(asked.handle).then((found) => {
    if (isFailure(found)) refuse(volume, null, found, reply);
    else begin(volume, asked, actor, reply, found);
  }, crash);
}

function begin(volume: Volume, asked: ArgumentsOf<'read'>, actor: Actor, reply: NfsReply, inode: Inode): void {
  // Beside a change of size it would read what never was.
  if (inode.isFrozen) return inode.whenThawed(() => begin(volume, asked, actor, reply, inode));
  const failure = errorOf(inode, actor);
  if (failure !== null) return refuse(volume, inode, failure, reply);
  new ReadJob(volume, inode, asked, reply).submit();
}

function errorOf(inode: Inode, actor: Actor): Failure | null {
  if (inode.stale) return NfsStatus.stale;
  if (inode.type === 'directory') return NfsStatus.isdir;
  if (inode.type !== 'file') return NfsStatus.inval;
  return mayRead(actor, inode) ? null : NfsStatus.acces;
}

const NO_PIECES: readonly ReadPiece[] = [];

class ReadJob implements ReadRequest {
  readonly kind = 'read';
  readonly target: string;
  readonly offset: number;
  length = 0;
  readonly cancelled = false;
  readonly #volume: Volume;
  readonly #inode: Inode;
  readonly #count: number;
  readonly #reply: NfsReply;
  #truncations = 0;
  #attempts = 0;

  constructor(volume: Volume, inode: Inode, { offset, count }: ArgumentsOf<'read'>, reply: NfsReply) {
    this.target = inode.id;
    this.offset = offset;
    this.#volume = volume;
    this.#inode = inode;
    this.#count = Math.min(count, volume.payloadBytes.read);
    this.#reply = reply;
    inode.pins += 1;
  }

  /** What of the range lies within the file now. */
  #within(): number {
    return Math.max(0, Math.min(this.#count, this.#inode.sizeBytes - this.offset));
  }

  submit(): void {
    this.#attempts += 1;
    this.#truncations = this.#inode.truncations;
    this.length = this.#within();
    if (this.length > 0) this.#volume.service.submit(this);
    else this.#volume.service.submit(new AuthorityCall((fault) => this.done(fault, NO_PIECES)));
  }

  done(fault: Fault | null, pieces: readonly ReadPiece[] | null): void {
    const inode = this.#inode;
    const moved = this.length !== this.#within() || this.#truncations !== inode.truncations;
    if (fault === null && moved && this.#attempts < ATTEMPTS) {
      // The service may still hold this request: it is not used twice.
      const again = new ReadJob(this.#volume, inode, { ...this.#asked(), handle: inode.handle }, this.#reply);
      again.#attempts = this.#attempts;
      inode.pins -= 1;
      return again.submit();
    }
    inode.pins -= 1;
    if (fault !== null) return tell(inode, this.#volume.goneOr(inode, failureOf(fault)), this.#reply);
    this.#reply.send({
      procedure: 'read',
      status: NfsStatus.ok,
      attributes: inode,
      count: this.length,
      eof: this.offset + this.length >= inode.sizeBytes,
      pieces: pieces ?? NO_PIECES,
    });
  }

  #asked(): Omit<ArgumentsOf<'read'>, 'handle'> {
    return { procedure: 'read', offset: this.offset, count: this.#count };
  }
}

/** An error is an answer like any other: it needs authority. */
function refuse(volume: Volume, inode: Inode | null, failure: Failure, reply: NfsReply): void {
  if (inode !== null) inode.pins += 1;
  volume.whenAuthorised((fault) => {
    if (inode !== null) inode.pins -= 1;
    tell(inode, fault ?? failure, reply);
  });
}

function tell(inode: Inode | null, failure: Failure, reply: NfsReply): void {
  if (failure instanceof Unanswered) return reply.drop(failure.why);
  reply.send({ procedure: 'read', status: failure, attributes: inode === null || inode.stale ? null : inode });
}
