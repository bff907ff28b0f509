/** A running digest of everything that happened in a world: same seed, same digest, on every machine. */
import { hashText } from './prng.ts';

const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);

export class Digest {
  #high = 0x243f6a88;
  #low = 0x85a308d3;
  readonly #texts = new Map<string, number>();

  /** Any number, by its bits. */
  number(value: number): void {
    if ((value | 0) === value) {
      this.#add(value | 0);
      return;
    }
    float[0] = value;
    this.#add(words[0] as number);
    this.#add(words[1] as number);
  }

  text(text: string): void {
    let hash = this.#texts.get(text);
    if (hash === undefined) {
      hash = hashText(text);
      if (this.#texts.size < 4096) this.#texts.set(text, hash);
    }
    this.#add(hash);
  }

  /** 16 hexadecimal digits. */
  value(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0');
  }

  #add(word: number): void {
    const low = Math.imul(this.#low ^ word, 0x9e3779b1);
    const high = Math.imul(this.#high + low, 0x85ebca77);
    this.#low = low ^ (high >>> 15);
    this.#high = high ^ (low >>> 13);
  }
}
