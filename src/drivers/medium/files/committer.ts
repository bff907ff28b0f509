/**
 * Makes changes of the tree durable, many at a time: while one round of syncs is on its way, everything that is done meanwhile
 * gathers for the next one. A round syncs each directory and object once, whoever changed it, side by side; too many of
 * them, or one that cannot be open, and the whole file system is synced instead.
 */
import type { Done } from '../../../base/fault.ts';
import { BATCH_SYNCS_MAX, SyncBatch, syncFileSystem } from '../../linux/sync-batch.ts';
import { treeFault } from './tree-fault.ts';

interface Waiting {
  /** Null: only the whole file system will do. */
  readonly fds: readonly number[] | null;
  readonly done: Done;
}

export class Committer {
  readonly #rootFd: number;
  readonly #batch = SyncBatch.take();
  #waiting: Waiting[] = [];
  #running = false;
  #scheduled = false;

  constructor(rootFd: number) {
    this.#rootFd = rootFd;
  }

  /** `done` when what was changed before, in the objects of `fds`, is durable. They stay open until then. */
  commit(fds: readonly number[] | null, done: Done): void {
    this.#waiting.push({ fds, done });
    if (this.#running || this.#scheduled) return;
    this.#scheduled = true;
    // Behind everything that was answered together with this.
    setImmediate(() => {
      this.#scheduled = false;
      this.#run();
    });
  }

  release(): void {
    this.#batch.release();
  }

  #run(): void {
    const round = this.#waiting;
    if (round.length === 0) return;
    this.#waiting = [];
    this.#running = true;
    const fds = new Set<number>();
    for (const waiting of round) for (const fd of waiting.fds ?? []) fds.add(fd);
    if (round.some((waiting) => waiting.fds === null) || fds.size > BATCH_SYNCS_MAX) {
      return syncFileSystem(this.#rootFd, (errno) => this.#ended(round, () => errno));
    }
    const list = [...fds];
    this.#batch.run(list, (errnos) => {
      const failed = new Map<number, number>();
      list.forEach((fd, i) => failed.set(fd, errnos[i] ?? 0));
      this.#ended(round, (waiting) => waiting.fds?.map((fd) => failed.get(fd) ?? 0).find((errno) => errno !== 0) ?? 0);
    });
  }

  #ended(round: readonly Waiting[], errnoOf: (waiting: Waiting) => number): void {
    this.#running = false;
    for (const waiting of round) {
      const errno = errnoOf(waiting);
      waiting.done(errno === 0 ? null : treeFault(errno, 'Making a change of the tree durable'));
    }
    if (!this.#scheduled) this.#run();
  }
}
