/** A binary min-heap by a numeric key: whoever waits for the lowest mark is woken first. */
export class MinHeap<T> {
  readonly #keys: number[] = [];
  readonly #values: T[] = [];

  get size(): number {
    return this.#keys.length;
  }

  /** The lowest key, or undefined when empty. */
  lowest(): number | undefined {
    return this.#keys[0];
  }

  push(key: number, value: T): void {
    let at = this.#keys.length;
    this.#keys.push(key);
    this.#values.push(value);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((this.#keys[parent] as number) <= key) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  /** Takes a value with the lowest key, or undefined when empty. */
  pop(): T | undefined {
    if (this.#keys.length === 0) return undefined;
    this.#swap(0, this.#keys.length - 1);
    this.#keys.pop();
    const value = this.#values.pop();
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= this.#keys.length) return value;
      const right = left + 1;
      const child =
        right < this.#keys.length && (this.#keys[right] as number) < (this.#keys[left] as number) ? right : left;
      if ((this.#keys[at] as number) <= (this.#keys[child] as number)) return value;
      this.#swap(at, child);
      at = child;
    }
  }

  clear(): void {
    this.#keys.length = 0;
    this.#values.length = 0;
  }

  #swap(a: number, b: number): void {
    const key = this.#keys[a] as number;
    const value = this.#values[a] as T;
    this.#keys[a] = this.#keys[b] as number;
    this.#values[a] = this.#values[b] as T;
    this.#keys[b] = key;
    this.#values[b] = value;
  }
}
