/**
 * A program of NFS that does what a test says: it keeps the calls it gets until the test answers them, or answers at
 * once by a function of the test's.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { Done, Result } from '../src/base/fault.ts';
import type { NfsCall, NfsProgram, NfsReply } from '../src/front/nfs/program.ts';
import { NfsStatus } from '../src/wire/nfs/types.ts';

export interface TakenCall {
  readonly call: NfsCall;
  readonly reply: NfsReply;
}

export const ROOT_HANDLE = Buffer.from('the root of the volume');

export class ScriptedProgram implements NfsProgram {
  /** Calls that nobody answered yet, in the order of their arrival. */
  readonly calls: TakenCall[] = [];
  /** Answers at once instead, when it is set. */
  answer: ((taken: TakenCall) => void) | null = null;
  /** How `open` ends; undefined: not by itself, see `opening`. */
  opens: Done extends (fault: infer F) => void ? F | undefined : never = null;
  opening: Done | null = null;
  ended: string | null = null;
  roots = 0;

  open(done: Done): void {
    this.opening = done;
    const { opens } = this;
    if (opens !== undefined) setImmediate(() => done(opens));
  }

  rootHandle(done: Result<Buffer>): void {
    this.roots++;
    setImmediate(() => done(null, ROOT_HANDLE));
  }

  call(call: NfsCall, reply: NfsReply): void {
    if (this.answer === null) this.calls.push({ call, reply });
    else this.answer({ call, reply });
  }

  end(why: string): void {
    this.ended = why;
  }

  /** Resolves when so many calls wait. */
  async waiting(count: number): Promise<readonly TakenCall[]> {
    while (this.calls.length < count) await turn();
    return this.calls;
  }
}

/** Answers a GETATTR, ACCESS, READ or WRITE in the shortest way there is. */
export function answerPlainly({ call, reply }: TakenCall): void {
  const args = call.arguments;
  switch (args.procedure) {
    case 'read': {
      const data = Buffer.alloc(args.count, args.offset & 0xff);
      const pieces = args.count === 0 ? [] : [{ length: data.length, data }];
      return reply.send({
        procedure: 'read',
        status: NfsStatus.ok,
        attributes: null,
        count: data.length,
        eof: false,
        pieces,
      });
    }
    case 'write':
      return reply.send({
        procedure: 'write',
        status: NfsStatus.ok,
        wcc: { before: null, after: null },
        count: args.data.length,
        committed: 2,
        verifier: 1n,
      });
    case 'access':
      return reply.send({ procedure: 'access', status: NfsStatus.ok, attributes: null, access: args.access });
    case 'getattr':
      return reply.send({ procedure: 'getattr', status: NfsStatus.stale });
    default:
      throw new Error(`no plain answer to ${args.procedure}`);
  }
}
