/**
 * WRITE (RFC 1813, section 3.3.7): stored and mirrored before it is answered, so always FILE_SYNC, whatever was asked for.
 * A write into a file that is known costs no I/O on the medium, one object and no promise.
 */
import { Fault } from '../../../base/fault.ts';
import { NfsStatus, Stable } from '../../../wire/nfs/types.ts';
import type { ArgumentsOf, WccBefore } from '../../../wire/nfs/types.ts';
import { Unanswered, failureOf, isFailure, type Failure } from '../faults.ts';
import { Modification, type Inode } from '../inode.ts';
import { crash } from '../on-tree.ts';
import { mayWrite, modeAfterWrite, type Actor } from '../permissions.ts';
import type { NfsCall, NfsReply } from '../program.ts';
import { NO_WCC, type Volume } from '../volume.ts';

export function write(volume: Volume, call: NfsCall, asked: ArgumentsOf<'write'>, actor: Actor, reply: NfsReply): void {
  const inode = volume.inodes.known(asked.handle);
  if (inode !== undefined) return begin(volume, call, asked, actor, reply, inode);
  volume.inodes.ofHandle(asked.handle).then((found) => {
    if (isFailure(found)) refuse(volume, null, found, reply);
    else begin(volume, call, asked, actor, reply, found);
  }, crash);
}

function begin(
  volume: Volume,
  call: NfsCall,
  asked: ArgumentsOf<'write'>,
  actor: Actor,
  reply: NfsReply,
  inode: Inode,
): void {
  if (call.gone) return reply.drop('the client went away while its request waited');
  if (inode.isFrozen) return inode.whenThawed(() => begin(volume, call, asked, actor, reply, inode));
  const { offset } = asked;
  const failure = errorOf(volume, inode, actor, offset, asked.data.length);
  if (failure !== null) return refuse(volume, inode, failure, reply);
  if (asked.data.length === 0) {
    inode.pins += 1;
    return volume.whenAuthorised((fault) => {
      inode.pins -= 1;
      if (fault === null) written(volume, inode, inode.before, 0, reply);
      else tell(inode, fault, reply);
    });
  }
  const mode = modeAfterWrite(actor, inode);
  if (mode !== inode.mode)
    return void clearSetId(volume, inode, actor).then((fault) => {
      if (fault === null) begin(volume, call, asked, actor, reply, inode);
      else refuse(volume, inode, volume.goneOr(inode, failureOf(fault)), reply);
    }, crash);
  // A part is an answer, too: the client sends the rest.
  const most = Math.min(volume.payloadBytes.write, volume.largestFileBytes - offset);
  const data = asked.data.length > most ? asked.data.subarray(0, most) : asked.data;
  const timeNs = inode.nextTimeNs(volume.nowNs());
  inode.submit(volume.service, new WriteJob(volume, inode, offset, data, timeNs, reply));
}

function errorOf(volume: Volume, inode: Inode, actor: Actor, offset: number, length: number): Failure | null {
  if (inode.stale) return NfsStatus.stale;
  if (inode.type === 'directory') return NfsStatus.isdir;
  if (inode.type !== 'file') return NfsStatus.inval;
  if (volume.exported.readOnly) return NfsStatus.rofs;
  if (!mayWrite(actor, inode)) return NfsStatus.acces;
  return length > 0 && offset >= volume.largestFileBytes ? NfsStatus.fbig : null;
}

/** The set-id bits go before the bytes come: whoever runs the file must not run what somebody else wrote, as somebody else. */
async function clearSetId(volume: Volume, inode: Inode, actor: Actor): Promise<Fault | null> {
  const keys = [volume.objectKey(inode)];
  inode.pins += 1;
  await volume.locks.acquire(keys);
  const mode = modeAfterWrite(actor, inode);
  const change = { mode, uid: null, gid: null, atimeNs: null, mtimeNs: null };
  const refresh = await volume.calls.look((tree) => volume.changeAttributes(tree, inode, change));
  if (!(refresh instanceof Fault)) refresh('attributes');
  volume.locks.release(keys);
  inode.pins -= 1;
  return refresh instanceof Fault ? refresh : null;
}

class WriteJob extends Modification {
  readonly #volume: Volume;
  readonly #reply: NfsReply;

  constructor(volume: Volume, inode: Inode, offset: number, data: Buffer, timeNs: bigint, reply: NfsReply) {
    super(inode, 'write', offset, data, timeNs, timeNs);
    this.#volume = volume;
    this.#reply = reply;
  }

  settled(fault: Fault | null, before: WccBefore): void {
    if (fault === null) return written(this.#volume, this.inode, before, this.length, this.#reply);
    tell(this.inode, failureOf(fault), this.#reply);
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

function written(volume: Volume, inode: Inode, before: WccBefore, count: number, reply: NfsReply): void {
  reply.send({
    procedure: 'write',
    status: NfsStatus.ok,
    wcc: { before, after: inode },
    count,
    committed: Stable.fileSync,
    verifier: volume.verifier,
  });
}

function tell(inode: Inode | null, failure: Failure, reply: NfsReply): void {
  if (failure instanceof Unanswered) return reply.drop(failure.why);
  const wcc = inode === null || inode.stale ? NO_WCC : { before: inode.before, after: inode };
  reply.send({ procedure: 'write', status: failure, wcc });
}
