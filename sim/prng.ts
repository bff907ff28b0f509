/**
 * The one source of chance in a simulated world: sfc32, seeded by splitmix32, forked by name so that each concern
 * (delays, faults, clients, ...) draws from a stream of its own and a change in one leaves the others alone.
 */

/** A 32-bit hash of a text (FNV-1a with a final mix). */
export function hashText(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return mix(h);
}

function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
  h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
  return (h ^ (h >>> 15)) >>> 0;
}

/** A seeded stream of numbers. Equal seeds give equal streams on every machine: integers only, no `Math.random`. */
export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #d = 1;

  constructor(high: number, low: number) {
    this.#a = mix(high ^ 0x9e3779b9);
    this.#b = mix(low + 0x6d2b79f5);
    this.#c = mix(high + Math.imul(low, 0x85ebca6b));
    for (let i = 0; i < 12; i++) this.u32();
  }

  /** The stream of a world's seed, an integer from 0 to 2^53 - 1. */
  static ofSeed(seed: number): Prng {
    return new Prng(Math.floor(seed / 0x1_0000_0000) >>> 0, seed >>> 0);
  }

  /** An independent stream; draws from this one twice. */
  fork(name: string): Prng {
    return new Prng(this.u32() ^ hashText(name), this.u32());
  }

  u32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + t) | 0;
    return t >>> 0;
  }

  /** In [0, 1). */
  float(): number {
    return this.u32() / 0x1_0000_0000;
  }

  /** An integer from 0 to `bound` - 1. */
  below(bound: number): number {
    return Math.floor(this.float() * bound);
  }

  /** An integer from `low` to `high`, both included. */
  int(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** In [low, high). */
  between(low: number, high: number): number {
    return low + this.float() * (high - low);
  }

  chance(probability: number): boolean {
    return this.float() < probability;
  }

  pick<T>(from: readonly T[]): T {
    const item = from[this.below(from.length)];
    if (item === undefined) throw new Error('pick from nothing');
    return item;
  }

  /** 32 hexadecimal digits. */
  hex(): string {
    let text = '';
    for (let i = 0; i < 4; i++) text += this.u32().toString(16).padStart(8, '0');
    return text;
  }

  /** A latency: mostly near `typical`, rarely many times that, never 0. */
  latency(typical: number): number {
    const u = this.float();
    const tail = u > 0.98 ? 10 : u > 0.9 ? 3 : 1;
    return typical * tail * (0.25 + this.float()) + 0.001;
  }
}
