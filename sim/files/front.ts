/**
 * The front end of a files volume in a world: the program of src/front/nfs itself, with the world's clock, chance and time.
 * Around it, on the side of the core, everything it submits is told to the checkers, as what clients of block volumes
 * submit is; on the side of the clients, every answer is judged when it is sent (`judge.ts`).
 */
import type { Done } from '../../src/base/fault.ts';
import type { Epoch, VolumeName } from '../../src/base/names.ts';
import { FilesProgram, type FilesProgramOptions } from '../../src/front/nfs/files-program.ts';
import type { NfsCall, NfsProgram, NfsReply } from '../../src/front/nfs/program.ts';
import type {
  ModifyRequest,
  PendingObject,
  ReadRequest,
  ServiceRequest,
  VolumeService,
} from '../../src/ports/service.ts';
import { REPLIES, type ObjectId } from '../../src/ports/tree.ts';
import { decodeResult, encodeArguments } from '../../src/wire/nfs/table.ts';
import type { NfsResult } from '../../src/wire/nfs/results.ts';
import type { NfsArguments } from '../../src/wire/nfs/types.ts';
import type { Auditor } from '../auditor.ts';
import type { Context } from '../context.ts';
import { fillTag } from '../disk.ts';
import type { Life } from '../life.ts';
import type { Prng } from '../prng.ts';
import type { FilesAudit } from './audit.ts';
import { cellsOf } from './cells.ts';
import { describe, type Deed } from './deeds.ts';
import type { Change, FilesModel } from './model.ts';
import { CELL } from './platter.ts';

/** Makes a volume's program: that of src/front/nfs, or a mutation of it. */
export type ProgramFactory = (options: FilesProgramOptions) => NfsProgram;
export const goodProgram: ProgramFactory = (options) => new FilesProgram(options);

/** What all front ends of one world share. */
export interface FrontWorld {
  readonly ctx: Context;
  readonly prng: Prng;
  readonly auditor: Auditor;
  readonly audit: FilesAudit;
  readonly program: ProgramFactory;
  /** A number that nobody else has: also a time. */
  drawTag(): number;
}

/** Who asks, over which connection. */
export interface Caller {
  readonly client: number;
  readonly port: number;
  readonly xid: number;
  /** The server has learnt that the connection is gone. */
  isGone(): boolean;
}

/** Root, and not squashed: permissions are not this simulator's subject. */
const CREDENTIAL = { uid: 0, gid: 0, gids: [] };
const EXPORTED: FilesProgramOptions['exported'] = {
  address: { host: '127.0.0.1', port: 2049 },
  readOnly: false,
  squash: 'none',
  anonUid: 65_534,
  anonGid: 65_534,
  clients: [],
  portmapper: false,
};
/** State byte of a slot of the ring that is an intent (src/front/nfs/replies/slot.ts). */
const STATE_AT = 5;
const INTENT = 1;

export class Front {
  readonly world: FrontWorld;
  readonly life: Life;
  readonly volume: number;
  readonly epoch: Epoch;
  readonly files: FilesModel;
  readonly #service: VolumeService;
  readonly #name: VolumeName;
  readonly #program: NfsProgram;
  readonly #unanswered = new Map<Change, ObjectId>();
  /** Of objects: attributes that were shown under a ctime. */
  readonly shownAt = new Map<string, string>();
  over = false;

  constructor(world: FrontWorld, life: Life, name: VolumeName, volume: number, epoch: Epoch, service: VolumeService) {
    this.world = world;
    this.life = life;
    this.volume = volume;
    this.epoch = epoch;
    this.#name = name;
    this.#service = service;
    this.files = world.auditor.filesOf(volume) as FilesModel;
    this.#program = this.#make();
  }

  #make(): NfsProgram {
    const { ctx, prng } = this.world;
    return this.world.program({
      name: this.#name,
      epoch: this.epoch,
      service: this.#watched,
      exported: EXPORTED,
      log: () => undefined,
      wallClockNs: () => BigInt(this.world.drawTag()),
      random: (bytes) => Buffer.from(Array.from({ length: bytes }, () => prng.below(256))),
      later: (ms, then) =>
        void ctx.after(ms, () =>
          this.life.call(() => {
            ctx.stir();
            if (!this.over) then();
          }),
        ),
      // Small ones, so that much is forgotten all the time.
      caches: { inodes: prng.pick([3, 6, 1000]), names: prng.pick([2, 1000]) },
    });
  }

  open(opened: Done): void {
    this.world.ctx.stir();
    this.#program.open((fault) => {
      if (this.over) return;
      if (fault === null) this.files.history.opened(this.world.ctx.now);
      opened(fault);
    });
  }

  /** The same volume through a program that knows nothing yet. */
  afresh(): Front {
    return new Front(this.world, this.life, this.#name, this.volume, this.epoch, this.#service);
  }

  rootHandle(done: (handle: Buffer) => void): void {
    this.world.ctx.stir();
    this.#program.rootHandle((_fault, handle) => {
      if (handle !== null && !this.over) done(handle);
    });
  }

  /** The door is shut: what was not answered has taken effect or never will. */
  end(): void {
    if (this.over) return;
    this.over = true;
    this.#program.end('closed');
    for (const [change, id] of this.#unanswered) this.files.file(id).bound(change, this.world.ctx.now);
    this.#unanswered.clear();
  }

  // ---- the clients' side

  /** `answered` with the result, judged; or with null: there is none, and the connection is to be closed. */
  call(asked: NfsArguments, deed: Deed | null, caller: Caller, answered: (result: NfsResult | null) => void): void {
    const { ctx } = this.world;
    const beginMs = ctx.now;
    const call: NfsCall = {
      xid: caller.xid,
      client: { address: `10.0.0.${caller.client}`, port: caller.port },
      credential: CREDENTIAL,
      arguments: asked,
      argumentBytes: encodeArguments(asked),
      get gone() {
        return caller.isGone();
      },
    };
    const told = (result: NfsResult | null): void => {
      ctx.stir();
      if (this.over) return;
      if (result !== null && !caller.isGone()) {
        this.world.auditor.answered(this.life, this.volume, this.epoch);
        this.world.audit.judge(this, asked, deed, result, beginMs);
      }
      answered(result);
    };
    const reply: NfsReply = {
      send: (result) => told(result),
      sendEncoded: (bytes) => told(decodeResult(asked.procedure, bytes)),
      drop: () => told(null),
    };
    if (ctx.story !== null) {
      const text = deed === null ? asked.procedure : describe(deed);
      ctx.tell('client', this.life.index, `v${this.volume}: is asked to ${text}`);
    }
    ctx.stir();
    this.#program.call(call, reply);
  }

  // ---- the core's side

  readonly #watched: VolumeService = ((front: Front) => ({
    get maxRequestBytes() {
      return front.#service.maxRequestBytes;
    },
    sizeBytes: (target: string) => front.#service.sizeBytes(target),
    pending: (target: ObjectId): PendingObject | null => front.#service.pending(target),
    submit: (request: ServiceRequest) => front.#submit(request),
  }))(this);

  #submit(request: ServiceRequest): void {
    const { ctx } = this.world;
    if (this.over) return;
    switch (request.kind) {
      case 'read':
        return this.#read(request);
      case 'call': {
        const { begin } = request;
        return this.#service.submit({
          kind: 'call',
          // What a call goes on to look at may come too late, and is not told then: it is begun with authority.
          begin:
            begin === null
              ? null
              : (tree, returned) => {
                  this.world.audit.called(this.life, this.volume);
                  begin(tree, returned);
                },
          cancelled: request.cancelled,
          done: (fault) => {
            ctx.stir();
            if (!this.over) request.done(fault);
          },
        });
      }
      case 'status':
        return this.#service.submit(request);
      case 'write':
      case 'zero':
      case 'trim':
      case 'truncate':
      case 'stamp':
        return this.#modify(request);
    }
  }

  /** Each has a time of its own; the cells of a write are made to carry it, so that all of it is known by one number. */
  #modify(request: ModifyRequest): void {
    const { ctx } = this.world;
    const { target, kind, data } = request;
    const tag = Number(request.timeNs);
    const isReply = target === REPLIES;
    if (!isReply && kind === 'write') fillTag(data, tag);
    const file = this.files.file(target);
    const what = isReply ? 'stamp' : (kind as Change['kind']);
    const change = file.begin(what, tag, request.offset / CELL, data.length / CELL, this.epoch, ctx.now);
    this.#unanswered.set(change, target);
    if (kind === 'truncate') this.world.audit.cuts(this, target, request.offset);
    this.#service.submit({
      kind,
      target,
      offset: request.offset,
      length: request.length,
      timeNs: request.timeNs,
      data,
      cancelled: request.cancelled,
      done: (fault) => {
        if (this.over) return;
        ctx.stir();
        this.#unanswered.delete(change);
        ctx.digest.number(tag);
        if (fault === null) {
          this.world.auditor.answered(this.life, this.volume, this.epoch);
          const wrong = file.acknowledge(change, ctx.now);
          if (wrong !== null) ctx.fail('I9 linearizable', `${target}: ${wrong}`);
          ctx.tally.acknowledged++;
          this.world.audit.acknowledged(this.life, this.volume, target, tag);
          ctx.hook(isReply && data[STATE_AT] === INTENT ? 'intended' : 'acknowledged', this.life.index);
        } else file.bound(change, ctx.now);
        if (ctx.story !== null) {
          const end = fault === null ? 'acknowledged' : `refused: ${fault.message}`;
          const text = isReply ? `slot ${request.offset / 1024} state ${data[STATE_AT]}` : `${kind} ${tag}`;
          ctx.tell('client', this.life.index, `v${this.volume} ${target}: ${text} at ${request.offset} ${end}`);
        }
        request.done(fault);
      },
    });
  }

  #read(request: ReadRequest): void {
    const { ctx } = this.world;
    const { target, offset, length } = request;
    const beginMs = ctx.now;
    this.#service.submit({
      kind: 'read',
      target,
      offset,
      length,
      cancelled: request.cancelled,
      done: (fault, pieces) => {
        if (this.over) return;
        ctx.stir();
        if (fault?.kind === 'missing') this.world.audit.missing(this, target);
        if (pieces !== null && target !== REPLIES && !this.world.auditor.isReset(this.volume)) {
          const first = offset / CELL;
          const tags = cellsOf(ctx, pieces, length / CELL);
          const wrong = this.files.file(target).cells.read({ first, beginMs, endMs: ctx.now, tags });
          if (wrong !== null && !this.files.mayBeGone(target)) {
            const text = wrong.replace('sector', 'cell');
            ctx.fail('I9 no stale read', `a read of ${target} answered by ${this.life.server}: ${text}`);
          }
        }
        request.done(fault, pieces);
      },
    });
  }
}
