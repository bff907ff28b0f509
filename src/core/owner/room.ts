/**
 * Room on the medium: reserved before a write is accepted, so that "full" is told to the client before the
 * acknowledgement and never after it (design 2.6). Room is reserved by whole chunks, once each; a trim that gives a
 * chunk's room back is told here, so that the next write into it reserves anew.
 */
import type { Fault } from '../../base/fault.ts';
import type { MediumVolume } from '../../ports/medium.ts';
import type { Step } from './plan.ts';

/** The unit of reservation: large enough to be rare, small enough not to spoil a sparse image. */
const CHUNK_BYTES = 1 << 20;

export class Room {
  readonly #medium: MediumVolume;
  /** Chunks with room for every write, per target. */
  readonly #held = new Map<string, Set<number>>();

  constructor(medium: MediumVolume) {
    this.#medium = medium;
  }

  /** True when a write into the range needs no reservation. */
  holds(target: string, offset: number, length: number): boolean {
    if (!this.#medium.abilities.reserve) return true;
    const held = this.#held.get(target);
    if (held === undefined) return false;
    for (let chunk = first(offset); chunk <= last(offset, length); chunk += 1) if (!held.has(chunk)) return false;
    return true;
  }

  /** Reserves the range's chunks, or where those do not fit the bare range; fault `full` when that does not fit either. */
  reserve(target: string, offset: number, length: number, done: (fault: Fault | null) => void): void {
    const from = first(offset) * CHUNK_BYTES;
    const to = Math.min(this.#medium.sizeBytes(target), (last(offset, length) + 1) * CHUNK_BYTES);
    this.#medium.reserve(target, from, to - from, (fault) => {
      if (fault?.kind === 'full') return this.#medium.reserve(target, offset, length, done);
      if (fault === null) this.#hold(target, offset, length);
      done(fault);
    });
  }

  #hold(target: string, offset: number, length: number): void {
    const held = this.#held.get(target) ?? new Set<number>();
    for (let chunk = first(offset); chunk <= last(offset, length); chunk += 1) held.add(chunk);
    this.#held.set(target, held);
  }

  /** The step gives room back from now on. */
  punched(step: Step): void {
    const held = this.#held.get(step.target);
    if (held === undefined) return;
    if (step.length / CHUNK_BYTES > held.size) {
      for (const chunk of held) if (overlaps(chunk, step)) held.delete(chunk);
    } else for (let c = first(step.offset); c <= last(step.offset, step.length); c += 1) held.delete(c);
  }
}

const first = (offset: number): number => Math.floor(offset / CHUNK_BYTES);
const last = (offset: number, length: number): number => Math.floor((offset + length - 1) / CHUNK_BYTES);
const overlaps = (chunk: number, step: Step): boolean =>
  chunk >= first(step.offset) && chunk <= last(step.offset, step.length);

/** The range of whole chunks around a step, for finding later writes into the same room. */
export function chunksAround(step: Step): { readonly offset: number; readonly length: number } {
  const offset = first(step.offset) * CHUNK_BYTES;
  return { offset, length: (last(step.offset, step.length) + 1) * CHUNK_BYTES - offset };
}
