/**
 * A queue of numbers on a circular array. In a `Ring`, V8 makes an object of every number from 2^31 on; here none is made.
 */
const LEAST_SLOTS = 16;

export class NumberRing {
  #slots = new Float64Array(LEAST_SLOTS);
  #head = 0;
  #length = 0;

  /** How many numbers wait. */
  get length(): number {
    return this.#length;
  }

  /** Adds `value` behind all others. */
  push(value: number): void {
    if (this.#length === this.#slots.length) this.#resize(this.#slots.length * 2);
    this.#slots[this.#slot(this.#length)] = value;
    this.#length += 1;
  }

  /** Takes the oldest number out; undefined when there is none. */
  shift(): number | undefined {
    const value = this.at(0);
    if (value === undefined) return undefined;
    this.#head = this.#slot(1);
    this.#length -= 1;
    // Far from the next growth: a steady ring does not resize to and fro.
    if (this.#slots.length > LEAST_SLOTS && this.#length * 8 < this.#slots.length) this.#resize(this.#slots.length / 2);
    return value;
  }

  /** The number at `index`, counted from the oldest; undefined outside [0, length). */
  at(index: number): number | undefined {
    return index < 0 || index >= this.#length ? undefined : this.#slots[this.#slot(index)];
  }

  /** The slots are a power of two, so that an index wraps by a mask. */
  #slot(index: number): number {
    return (this.#head + index) & (this.#slots.length - 1);
  }

  #resize(count: number): void {
    const slots = new Float64Array(count);
    for (let index = 0; index < this.#length; index += 1) slots[index] = this.#slots[this.#slot(index)]!;
    this.#slots = slots;
    this.#head = 0;
  }
}
