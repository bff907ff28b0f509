/**
 * Makes what a batch of changes did durable, on the thread that made them: one journey to the thread and back for making and
 * syncing. What comes meanwhile is the next batch, and shares its sync.
 */
import { closeFd, syncFd, syncFileSystemOf } from '../../linux/at-calls.ts';
import { BATCH_SYNCS_MAX, SyncBatch } from '../../linux/sync-batch.ts';
import type { Answer, Ask, Op, Question, Reply, Syncs } from './words.ts';

/** Changes that are durable before they are answered. */
const SYNCED: ReadonlySet<Op> = new Set(['create', 'change', 'link', 'remove', 'rename']);

interface Made {
  readonly number: number;
  /** A new file was open for its sync alone. */
  readonly closes: boolean;
  readonly answer: Answer<Op>;
  /** What it touched, open; null: something that cannot be. */
  readonly fds: readonly number[] | null;
}

export class BatchSync {
  readonly #syncs: Syncs;
  readonly #rootFd: number;
  readonly #batch: SyncBatch | null;
  #made: Made[] = [];

  constructor(syncs: Syncs, rootFd: number) {
    this.#syncs = syncs;
    this.#rootFd = rootFd;
    this.#batch = syncs === 'each' ? SyncBatch.take() : null;
  }

  /** Whether the answer to such a question waits for the batch's sync. */
  covers(op: Op): boolean {
    return this.#syncs !== 'asker' && SYNCED.has(op);
  }

  /** A change was made. */
  made({ number, op, ask }: Question, answer: Answer<Op>): void {
    const closes = 'keep' in ask && !ask.keep;
    this.#made.push({ number, closes, answer, fds: touched(op, ask, answer, this.#rootFd) });
  }

  /** Syncs, and tells what is to be replied. */
  run(): Reply[] {
    const made = this.#made;
    this.#made = [];
    if (made.length === 0) return [];
    const errnoOf = this.#sync(made);
    return made.map((one) => {
      const errno = errnoOf(one);
      return { number: one.number, errno, answer: letGo(one), durable: errno === 0 };
    });
  }

  end(): void {
    this.#batch?.end();
  }

  #sync(made: readonly Made[]): (one: Made) => number {
    // Where order is kept, what makes the last change durable does so for all before it (keeps-order.ts).
    const needed = this.#syncs === 'last' ? made.slice(-1) : made;
    const fds = new Set<number>();
    for (const one of needed) {
      if (one.fds === null) return always(Math.max(0, -syncFileSystemOf(this.#rootFd)));
      for (const fd of this.#syncs === 'last' ? one.fds.slice(0, 1) : one.fds) fds.add(fd);
    }
    const failed = this.#each([...fds]);
    if (failed.size === 0) return always(0);
    if (this.#syncs === 'last') return always([...failed.values()][0] ?? 0);
    return (one) => one.fds?.map((fd) => failed.get(fd) ?? 0).find((errno) => errno !== 0) ?? 0;
  }

  /** Syncs them side by side; those that failed, with their errno. */
  #each(fds: readonly number[]): ReadonlyMap<number, number> {
    const failed = new Map<number, number>();
    for (let from = 0; from < fds.length; from += BATCH_SYNCS_MAX) {
      const some = fds.slice(from, from + BATCH_SYNCS_MAX);
      const errnos = this.#batch === null ? some.map((fd) => Math.max(0, -syncFd(fd))) : this.#batch.runHere(some);
      errnos.forEach((errno, i) => {
        if (errno !== 0) failed.set(some[i] as number, errno);
      });
    }
    return failed;
  }
}

function letGo({ answer, closes }: Made): Answer<Op> {
  if (!closes || !('fd' in answer) || answer.fd < 0) return answer;
  closeFd(answer.fd);
  return { ...(answer as Answer<'create'>), fd: -1 };
}

const always = (errno: number) => (): number => errno;

/** What a change touched, open, a directory first whose name was changed; null when it cannot be open. */
function touched(op: Op, ask: Ask<Op>, answer: Answer<Op>, rootFd: number): readonly number[] | null {
  const open = (fd: number, opened: number): number => (fd >= 0 ? fd : opened >= 0 ? opened : rootFd);
  const of = <K extends Op>(_op: K): Ask<K> & { readonly answer: Answer<K> } =>
    ({ ...ask, answer }) as Ask<K> & { readonly answer: Answer<K> };
  switch (op) {
    case 'create': {
      const { fd, answer: made } = of(op);
      return made.fd < 0 ? [open(fd, made.opened)] : [open(fd, made.opened), made.fd];
    }
    case 'link': {
      const { fd, objectFd, answer: linked } = of(op);
      const object = objectFd >= 0 ? objectFd : linked.objectOpened;
      return object < 0 ? [open(fd, linked.opened)] : [open(fd, linked.opened), object];
    }
    case 'remove': {
      const { fd, answer: removed } = of(op);
      return [open(fd, removed.opened)];
    }
    case 'rename': {
      const { id, fd, to, toFd, answer: renamed } = of(op);
      const from = open(fd, renamed.opened);
      return to === id ? [from] : [from, open(toFd, renamed.toOpened)];
    }
    default: {
      const { fd, answer: changed } = of('change');
      return fd < 0 && changed.opened < 0 ? null : [fd >= 0 ? fd : changed.opened];
    }
  }
}
