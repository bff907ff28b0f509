/**
 * A program that works on files: it makes notes, writes and renames them, removes some, and keeps its own books of what
 * has to be there. What cannot be repeated (making, renaming, removing) is refused the second time by any file system:
 * that no kill makes it fail shows that each was done once.
 */
import type { Checked } from './ledger.ts';
import type { Share } from './share.ts';

const PACE_MS = 5;
const MOST_BYTES = 100_000;
/** One of so many notes is removed again. */
const REMOVED = 4;

export class Notes {
  readonly #share: Share;
  readonly #kept = new Map<string, Buffer>();
  #number = 0;
  #changes = 0;
  #stopped = false;

  constructor(share: Share) {
    this.#share = share;
  }

  /** Requests of all kinds that were answered. */
  get changes(): number {
    return this.#changes;
  }
  /** Files that have to be there. */
  get files(): number {
    return this.#kept.size;
  }

  stop(): void {
    this.#stopped = true;
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      this.#number += 1;
      const [draft, name] = [`draft-${this.#number}`, `note-${this.#number}`];
      const bytes = 1 + ((this.#number * 7_919) % MOST_BYTES);
      const content = Buffer.alloc(bytes, `note ${this.#number} of the demo. `);
      const handle = await this.#share.create(draft);
      await this.#share.write(handle, content);
      await this.#share.rename(draft, name);
      this.#changes += 3;
      if (this.#number % REMOVED === 0) {
        await this.#share.remove(name);
        this.#changes += 1;
      } else this.#kept.set(name, content);
      await new Promise((resolve) => setTimeout(resolve, PACE_MS));
    }
  }

  /** Reads every note back and compares the names that are there. Only once it has stopped. */
  async check(): Promise<Checked & { readonly wrongNames: readonly string[] }> {
    const found = new Set(await this.#share.list());
    const wrongNames = [...found].filter((name) => !this.#kept.has(name));
    wrongNames.push(...[...this.#kept.keys()].filter((name) => !found.has(name)));
    let [checkedBytes, wrongBytes] = [0, 0];
    for (const [name, content] of this.#kept) {
      if (!found.has(name)) continue;
      const read = await this.#share.read(await this.#share.lookup(name));
      checkedBytes += content.length;
      if (read.equals(content)) continue;
      wrongBytes += content.reduce((count, byte, index) => count + (byte === read[index] ? 0 : 1), 0);
      wrongBytes += Math.max(0, read.length - content.length);
    }
    return { checkedBytes, wrongBytes, wrongNames };
  }
}
