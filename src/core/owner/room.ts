/**
 * Room on the medium: made sure of before a write is accepted, so that "full" is told to the client before the
 * acknowledgement and never after it (design 2.6).
 *
 * On a block volume room is reserved by whole chunks, once each; a trim that gives a chunk's room back is told here, so
 * that the next write into it reserves anew. Files have no room of their own that could be held: there the medium's free
 * room is asked for, and everything that is not yet on the medium is taken to need room that is not yet taken.
 */
import { Fault } from '../../base/fault.ts';
import type { MediumVolume } from '../../ports/medium.ts';
import { REPLIES } from '../../ports/tree.ts';
import type { Step } from './plan.ts';

/** The unit of reservation: large enough to be rare, small enough not to spoil a sparse image. */
const CHUNK_BYTES = 1 << 20;
/** What a file system takes for itself when files grow: so much at least, and this part of what is written. */
const FILES_MARGIN_BYTES = 4 << 20;
const FILES_MARGIN_PART = 1 / 32;

export class Room {
  readonly #medium: MediumVolume;
  /** Chunks with room for every write, per target: a byte for each, 1 where there is. */
  readonly #held = new Map<string, Uint8Array>();
  readonly #undestagedBytes: () => number;
  /** Bytes of files that may still be accepted before the medium is asked again. */
  #allowedBytes = 0;

  constructor(medium: MediumVolume, undestagedBytes: () => number) {
    this.#medium = medium;
    this.#undestagedBytes = undestagedBytes;
  }

  /** True when a write into the range needs no reservation; it is then counted as accepted. */
  holds(target: string, offset: number, length: number): boolean {
    // Its room is there since the volume was created: what gives room back must be possible on a full medium.
    if (target === REPLIES) return true;
    if (this.#medium.tree !== null) return this.#allows(length);
    if (!this.#medium.abilities.reserve) return true;
    const held = this.#held.get(target);
    if (held === undefined) return false;
    for (let chunk = first(offset); chunk <= last(offset, length); chunk += 1) if (held[chunk] !== 1) return false;
    return true;
  }

  #allows(length: number): boolean {
    if (length > this.#allowedBytes) return false;
    this.#allowedBytes -= length;
    return true;
  }

  /** Makes sure of room for the range; fault `full` when there is none. */
  reserve(target: string, offset: number, length: number, done: (fault: Fault | null) => void): void {
    if (this.#medium.tree !== null) this.#askForRoom(length, done);
    else this.#reserveChunks(target, offset, length, done);
  }

  #askForRoom(length: number, done: (fault: Fault | null) => void): void {
    this.#medium.tree?.usage((fault, usage) => {
      if (fault !== null || usage === null) return done(fault);
      const wanted = this.#undestagedBytes() + length;
      const allowed = usage.availableBytes - wanted * (1 + FILES_MARGIN_PART) - FILES_MARGIN_BYTES;
      if (allowed < 0) return done(new Fault('full', `the medium has only ${usage.availableBytes} bytes left`));
      // Half of it: what is accepted meanwhile takes room of its own for the file system.
      this.#allowedBytes = Math.floor(allowed / 2);
      done(null);
    });
  }

  /** Reserves the range's chunks, or where those do not fit the bare range. */
  #reserveChunks(target: string, offset: number, length: number, done: (fault: Fault | null) => void): void {
    const from = first(offset) * CHUNK_BYTES;
    const to = Math.min(this.#medium.sizeBytes(target), (last(offset, length) + 1) * CHUNK_BYTES);
    this.#medium.reserve(target, from, to - from, (fault) => {
      if (fault?.kind === 'full') return this.#medium.reserve(target, offset, length, done);
      if (fault === null) this.#hold(target, offset, length);
      done(fault);
    });
  }

  #hold(target: string, offset: number, length: number): void {
    let held = this.#held.get(target);
    if (held === undefined) {
      held = new Uint8Array(first(this.#medium.sizeBytes(target)) + 1);
      this.#held.set(target, held);
    }
    held.fill(1, first(offset), last(offset, length) + 1);
  }

  /** The step gives room back from now on. */
  punched(step: Step): void {
    this.#held.get(step.target)?.fill(0, first(step.offset), last(step.offset, step.length) + 1);
  }
}

const first = (offset: number): number => Math.floor(offset / CHUNK_BYTES);
const last = (offset: number, length: number): number => Math.floor((offset + length - 1) / CHUNK_BYTES);

/** The range of whole chunks around a step, for finding later writes into the same room. */
export function chunksAround(step: Step): { readonly offset: number; readonly length: number } {
  const offset = first(step.offset) * CHUNK_BYTES;
  return { offset, length: (last(step.offset, step.length) + 1) * CHUNK_BYTES - offset };
}
