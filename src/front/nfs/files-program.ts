/**
 * The NFS program of a files volume: takes decoded calls, has each carried out by its procedure, and answers it when the
 * volume's service authorises the answer. Requests that cannot be repeated are answered once: whoever sends one again gets
 * the answer that it was given, or waits for it (docs/decisions/0007).
 */
import { randomBytes } from 'node:crypto';
import { Fault, type Done, type Result } from '../../base/fault.ts';
import type { Epoch, VolumeName } from '../../base/names.ts';
import type { VolumeService } from '../../ports/service.ts';
import type { ObjectId, TreeLimits } from '../../ports/tree.ts';
import { encodeResult } from '../../wire/nfs/table.ts';
import { Unanswered, failureOf, isFailure } from './faults.ts';
import { Handles } from './handles.ts';
import { AuthorityCall, Calls, crash, type Later } from './on-tree.ts';
import { actorOf, type Actor } from './permissions.ts';
import { plainOutcome, recordedOutcome, type PlainArguments, type RecordedArguments } from './procedures/table.ts';
import { read } from './procedures/read.ts';
import { isRecorded } from './procedures/setattr.ts';
import { write } from './procedures/write.ts';
import type { NfsCall, NfsExport, NfsLog, NfsProgram, NfsProgramFactory, NfsReply } from './program.ts';
import { Recording, askerOf } from './recording.ts';
import { recover } from './replies/recovery.ts';
import { Scope } from './scope.ts';
import { Volume, type CacheLimits } from './volume.ts';

export interface FilesProgramOptions {
  readonly name: VolumeName;
  readonly epoch: Epoch;
  readonly service: VolumeService;
  readonly exported: NfsExport;
  readonly log: NfsLog;
  /** The owner's wall clock, ns since 1970. */
  readonly wallClockNs: () => bigint;
  readonly random: (bytes: number) => Buffer;
  readonly later: Later;
  readonly caches: CacheLimits;
}

/** About 40 MB and 13 MB at most. */
export const DEFAULT_CACHES: CacheLimits = { inodes: 65_536, names: 65_536 };

const NS_PER_MS = 1_000_000n;

/** The program with the real clock, on a volume that is about to be served. */
export const createFilesProgram: NfsProgramFactory = (name, epoch, service, exported, log) =>
  new FilesProgram({
    name,
    epoch,
    service,
    exported,
    log,
    wallClockNs: () => BigInt(Date.now()) * NS_PER_MS,
    random: randomBytes,
    later: (ms, then) => void setTimeout(then, ms),
    caches: DEFAULT_CACHES,
  });

/** What the tree says of itself once. */
interface Found {
  readonly secret: Buffer;
  readonly limits: TreeLimits;
  readonly root: ObjectId;
}

export class FilesProgram implements NfsProgram {
  readonly #options: FilesProgramOptions;
  readonly #calls: Calls;
  #volume: Volume | null = null;
  #root: ObjectId = '';
  #ended = false;

  constructor(options: FilesProgramOptions) {
    this.#options = options;
    this.#calls = new Calls(options.service, (ms, then) =>
      options.later(ms, () => {
        if (!this.#ended) then();
      }),
    );
  }

  open(opened: Done): void {
    this.#open().then((fault) => {
      if (!this.#ended) opened(fault);
    }, crash);
  }

  async #open(): Promise<Fault | null> {
    const { name, epoch, service, exported, log, wallClockNs, random, caches } = this.#options;
    const found = await this.#calls.look<Found>(async (tree) => {
      const root = await tree.root();
      if (root instanceof Fault) return root;
      return { secret: tree.port.secret, limits: tree.port.limits, root: root.id };
    });
    if (found instanceof Fault) return found;
    const volume = new Volume({
      service,
      calls: this.#calls,
      handles: new Handles(found.secret),
      exported,
      limits: found.limits,
      // The epoch alone is unique to this opening; chance tells it from what another volume at this address had.
      verifier: (BigInt(epoch) << 32n) | BigInt(random(4).readUInt32BE(0)),
      nowNs: wallClockNs,
      caches,
    });
    const recovered = await recover(volume);
    if (recovered instanceof Fault) return recovered;
    const { completed, withdrawn, damaged } = recovered;
    if (completed + withdrawn + damaged > 0) log('nfs.recover', { volume: name, epoch, completed, withdrawn, damaged });
    this.#root = found.root;
    this.#volume = volume;
    return null;
  }

  rootHandle(done: Result<Buffer>): void {
    const volume = this.#opened();
    volume.service.submit(
      new AuthorityCall((fault) => done(fault, fault === null ? volume.handles.encode(this.#root) : null)),
    );
  }

  call(call: NfsCall, reply: NfsReply): void {
    const volume = this.#opened();
    const asked = call.arguments;
    const actor = actorOf(call.credential, this.#options.exported);
    switch (asked.procedure) {
      case 'read':
        return read(volume, asked, actor, reply);
      case 'write':
        return write(volume, call, asked, actor, reply);
      case 'setattr':
        if (isRecorded(asked)) return this.#record(volume, call, asked, reply);
        return this.#run(volume, new Recording(volume, call, null), call, asked, reply);
      case 'create':
      case 'mkdir':
      case 'symlink':
      case 'mknod':
      case 'remove':
      case 'rmdir':
      case 'rename':
      case 'link':
        return this.#record(volume, call, asked, reply);
      case 'null':
      case 'getattr':
      case 'lookup':
      case 'access':
      case 'readlink':
      case 'readdir':
      case 'readdirplus':
      case 'fsstat':
      case 'fsinfo':
      case 'pathconf':
      case 'commit':
        return this.#answer(volume, asked, actor, reply);
    }
  }

  end(_why: string): void {
    this.#ended = true;
    this.#volume?.clear();
    this.#volume = null;
  }

  #opened(): Volume {
    if (this.#volume === null) throw new Error('broken invariant: calls come when the program is open');
    return this.#volume;
  }

  /** Sends what a procedure came to, when that is authorised. */
  #answer(volume: Volume, asked: PlainArguments, actor: Actor, reply: NfsReply): void {
    const scope = new Scope();
    plainOutcome(volume, asked, actor, scope).then((outcome) => {
      scope.letGo();
      if (outcome instanceof Unanswered) return this.#drop(reply, outcome.why);
      volume.whenAuthorised((failure) => {
        if (failure === null) reply.send(outcome);
        else reply.drop(failure instanceof Unanswered ? failure.why : `not authorised: ${failure}`);
      });
    }, crash);
  }

  #drop(reply: NfsReply, why: string): void {
    if (!this.#ended) reply.drop(why);
  }

  // ---- exactly once

  /** The request runs, unless it was sent before: then its sender gets the answer that it was, or will be, given. */
  #record(volume: Volume, call: NfsCall, asked: RecordedArguments, reply: NfsReply): void {
    const asker = askerOf(call);
    const before = volume.ring.find(asker);
    if (before === undefined)
      return this.#run(volume, new Recording(volume, call, volume.ring.begin(asker)), call, asked, reply);
    if (before.reply === null) return void before.resent.push(reply);
    const encoded = before.reply;
    volume.whenAuthorised((failure) => {
      if (failure === null) reply.sendEncoded(encoded);
      else reply.drop(failure instanceof Unanswered ? failure.why : `not authorised: ${failure}`);
    });
  }

  #run(volume: Volume, recording: Recording, call: NfsCall, asked: RecordedArguments, reply: NfsReply): void {
    this.#runToEnd(volume, recording, call, asked, reply).catch(crash);
  }

  async #runToEnd(
    volume: Volume,
    recording: Recording,
    call: NfsCall,
    asked: RecordedArguments,
    reply: NfsReply,
  ): Promise<void> {
    const { kept } = recording;
    const actor = actorOf(call.credential, this.#options.exported);
    const outcome = await recordedOutcome(volume, asked, actor, recording);
    const encoded = outcome instanceof Unanswered ? outcome : encodeResult(outcome);
    let unauthorised: string | null = null;
    if (kept !== null && recording.intended && !(encoded instanceof Unanswered))
      // Its store is about to end this server, or gets well: until the reply is mirrored nobody may know of it.
      while ((await volume.ring.conclude(kept, encoded)) !== null) await volume.calls.pause();
    else {
      if (kept !== null && !recording.intended) volume.ring.forget(kept);
      const fault = await volume.calls.authorise();
      const failure = fault === null ? null : failureOf(fault);
      if (isFailure(failure)) unauthorised = failure instanceof Unanswered ? failure.why : `not authorised: ${failure}`;
    }
    if (this.#ended) return;
    // Begun, and nobody knows what came of it: the next opening settles it. Until then its names stay locked.
    if (!recording.intended || !(encoded instanceof Unanswered)) recording.end();
    const replies = kept === null ? [reply] : [reply, ...kept.resent.splice(0)];
    for (const one of replies) {
      if (encoded instanceof Unanswered) one.drop(encoded.why);
      else if (unauthorised !== null) one.drop(unauthorised);
      else one.sendEncoded(encoded);
    }
  }
}
