/**
 * How the answers of a connection look in the style that was negotiated. With structured replies errors carry a
 * sentence and what has no data is answered by a simple reply, which the document allows and which is shorter; with
 * extended headers everything is a chunk.
 */
import { CommandFlag, ChunkType, EXTENDED_REPLY_BYTES, type NbdError, type ReplyStyle } from '../../wire/nbd.ts';
import { errorChunk, putChunkHeader, putSimpleReply, type ReplyTo, statusChunk } from '../../wire/nbd-replies.ts';
import type { Extent } from '../../ports/medium.ts';
import type { ReadPiece } from '../../ports/service.ts';
import type { ReadJob, StatusJob } from './jobs.ts';
import { putRead } from './read-reply.ts';
import type { ReplyWriter } from '../clients/reply-writer.ts';
import { ALLOCATION_CONTEXT_ID, stretchesOf } from './status-reply.ts';

export class Answers {
  readonly #out: ReplyWriter;
  readonly #style: ReplyStyle;
  readonly #extended: boolean;
  readonly #maxStretches: number;

  constructor(out: ReplyWriter, style: ReplyStyle, maxStretches: number) {
    this.#out = out;
    this.#style = style;
    this.#extended = style === 'extended';
    this.#maxStretches = maxStretches;
  }

  ok(to: ReplyTo): void {
    const out = this.#out;
    out.reserve(EXTENDED_REPLY_BYTES);
    out.at = this.#extended
      ? putChunkHeader(out.page, out.at, true, to, ChunkType.none, true, 0)
      : putSimpleReply(out.page, out.at, to, 0);
  }

  error(to: ReplyTo, error: NbdError, message: string): void {
    const out = this.#out;
    if (this.#style !== 'simple') return out.data(errorChunk(this.#extended, to, error, message));
    out.reserve(EXTENDED_REPLY_BYTES);
    out.at = putSimpleReply(out.page, out.at, to, error);
  }

  read(job: ReadJob, pieces: readonly ReadPiece[]): void {
    putRead(this.#out, this.#style, (job.flags & CommandFlag.dontFragment) !== 0, job, pieces);
  }

  status(job: StatusJob, extents: readonly Extent[]): void {
    const most = (job.flags & CommandFlag.reqOne) !== 0 ? 1 : this.#maxStretches;
    const stretches = stretchesOf(extents, job.offset, job.length, most);
    this.#out.data(statusChunk(this.#extended, job, ALLOCATION_CONTEXT_ID, stretches));
  }
}
