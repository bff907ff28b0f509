/**
 * A queue on a circular array: constant time at both ends, no garbage in steady state, and what was taken out is let
 * go of at once. It grows as needed; a bound, where there has to be one, is the owner's to keep.
 */
import { assert } from './fault.ts';

/** Slots never fall below this. A power of two, as every number of slots here, so that an index wraps by a mask. */
const LEAST_SLOTS = 16;

export class Ring<T> {
  #slots: (T | undefined)[] = emptySlots(LEAST_SLOTS);
  #mask = LEAST_SLOTS - 1;
  #head = 0;
  #length = 0;

  /** How many values wait. */
  get length(): number {
    return this.#length;
  }

  /** Adds `value` behind all others. */
  push(value: T): void {
    if (this.#length === this.#slots.length) this.#resize(this.#slots.length * 2);
    this.#slots[(this.#head + this.#length) & this.#mask] = value;
    this.#length += 1;
  }

  /** Takes the oldest value out; undefined when there is none. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const value = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & this.#mask;
    this.#length -= 1;
    this.#shrink();
    return value;
  }

  /** Takes the newest value out; undefined when there is none. */
  pop(): T | undefined {
    if (this.#length === 0) return undefined;
    this.#length -= 1;
    const slot = (this.#head + this.#length) & this.#mask;
    const value = this.#slots[slot];
    this.#slots[slot] = undefined;
    this.#shrink();
    return value;
  }

  /** The value at `index`, counted from the oldest; undefined outside [0, length). */
  at(index: number): T | undefined {
    if (index < 0 || index >= this.#length) return undefined;
    return this.#slots[(this.#head + index) & this.#mask];
  }

  /** Lets go of everything. */
  clear(): void {
    this.#slots = emptySlots(LEAST_SLOTS);
    this.#mask = LEAST_SLOTS - 1;
    this.#head = 0;
    this.#length = 0;
  }

  /** Throws unless the shape is sound and every empty slot is empty. */
  invariants(): void {
    const slots = this.#slots.length;
    assert(slots >= LEAST_SLOTS && (slots & (slots - 1)) === 0, 'the slots are a power of two');
    assert(this.#mask === slots - 1, 'the mask fits the slots');
    assert(this.#head >= 0 && this.#head < slots, 'the head is a slot');
    assert(this.#length >= 0 && this.#length <= slots, 'the values fit the slots');
    assert(slots === LEAST_SLOTS || this.#length * 8 >= slots, 'slots left over from a burst are given back');
    for (let index = this.#length; index < slots; index += 1) {
      assert(this.#slots[(this.#head + index) & this.#mask] === undefined, 'an empty slot holds on to nothing');
    }
  }

  /** Halves the slots at an eighth: the next growth is far away, so that a steady ring does not resize to and fro. */
  #shrink(): void {
    const slots = this.#slots.length;
    if (slots > LEAST_SLOTS && this.#length * 8 < slots) this.#resize(slots / 2);
  }

  #resize(count: number): void {
    const slots = emptySlots<T>(count);
    for (let index = 0; index < this.#length; index += 1) {
      slots[index] = this.#slots[(this.#head + index) & this.#mask];
    }
    this.#slots = slots;
    this.#mask = count - 1;
    this.#head = 0;
  }
}

function emptySlots<T>(count: number): (T | undefined)[] {
  return new Array<T | undefined>(count).fill(undefined);
}
