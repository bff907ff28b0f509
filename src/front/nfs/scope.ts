/**
 * What a request holds on to: inodes that stay the only ones of their objects until it has ended. Were one evicted while
 * the request waits, another would be made for the same object, and each would know only half of what happens to it.
 */
import type { Inode } from './inode.ts';

export class Scope {
  readonly #held: Inode[] = [];

  /** Holds `inode` until the end of the request. */
  hold(inode: Inode): Inode {
    inode.pins += 1;
    this.#held.push(inode);
    return inode;
  }

  /** The request has ended. */
  letGo(): void {
    for (const inode of this.#held.splice(0)) inode.pins -= 1;
  }
}
