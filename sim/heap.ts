/** The agenda of a world: a binary heap of events by time, those of equal time in the order of their insertion. */

/** An event that will be run; setting `run` to null takes it out. */
export interface Agendum {
  readonly at: number;
  readonly order: number;
  run: (() => void) | null;
}

export class Heap {
  readonly #items: Agendum[] = [];
  #order = 0;

  get size(): number {
    return this.#items.length;
  }

  /** The next event, which stays where it is. */
  peek(): Agendum | null {
    return this.#items[0] ?? null;
  }

  push(at: number, run: () => void): Agendum {
    const item: Agendum = { at, order: this.#order++, run };
    const items = this.#items;
    let i = items.length;
    items.push(item);
    while (i > 0) {
      const up = (i - 1) >> 1;
      const parent = items[up] as Agendum;
      if (!precedes(item, parent)) break;
      items[i] = parent;
      i = up;
    }
    items[i] = item;
    return item;
  }

  pop(): Agendum | null {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (first === undefined || last === undefined) return null;
    if (items.length > 0) this.#sink(last);
    return first;
  }

  #sink(item: Agendum): void {
    const items = this.#items;
    const size = items.length;
    let i = 0;
    for (;;) {
      let down = 2 * i + 1;
      if (down >= size) break;
      if (down + 1 < size && precedes(items[down + 1] as Agendum, items[down] as Agendum)) down++;
      const child = items[down] as Agendum;
      if (!precedes(child, item)) break;
      items[i] = child;
      i = down;
    }
    items[i] = item;
  }
}

function precedes(a: Agendum, b: Agendum): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
