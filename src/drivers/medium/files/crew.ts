/**
 * The tree's threads, as the event loop sees them: questions of one turn go to a thread together, and their answers come
 * back together. That is what makes them cheap: a thread answers a look at an object in a few microseconds, and the
 * journey there and back costs many times that, however many travel.
 *
 * One thread makes all changes, one behind the other, and with an index it also does all the looking, since the index is its
 * own. Otherwise a second one looks; more are started when those that there are have been busy for a while: with storage
 * that makes them wait.
 */
import { Worker } from 'node:worker_threads';
import { assert } from '../../../base/fault.ts';
import { ErrorNumber } from '../../linux/errno.ts';
import type { Answer, Ask, Op, Question, Reply, ThreadSetup } from './words.ts';

/** Threads that look, at most. */
const LOOKERS_MAX = 4;
/** When all threads have been busy for so long, and questions wait, one more is started. */
const BUSY_MS = 2;
/** Questions of one batch. */
const BATCH_MAX = 64;
/** Questions that wait for a thread. The front ends have far fewer requests on their way. */
const WAITING_MAX = 65_536;

/** Made by one thread, in order. */
const CHANGES: ReadonlySet<Op> = new Set(['create', 'change', 'link', 'remove', 'rename', 'stamp']);

type Asker = (errno: number, answer: Answer<Op> | null, durable: boolean) => void;

/** A thread that was started ahead of need; starting one takes tens of milliseconds, which a takeover has better use for. */
let spare: Worker | null = null;

function startThread(): Worker {
  const worker = import.meta.url.endsWith('.ts') ? sourceThread() : new Worker(new URL('./thread.js', import.meta.url));
  worker.unref();
  return worker;
}

/** Where the source itself is run, in development, a thread has to learn to read it, too. */
function sourceThread(): Worker {
  const [reader, source] = ['tsx/esm/api', new URL('./thread.ts', import.meta.url).href].map((it) =>
    JSON.stringify(it),
  );
  const script = `import(${reader}).then(({ register }) => { register(); return import(${source}); });`;
  return new Worker(script, { eval: true });
}

/** Starts a thread for the volume that is opened next. */
export function warmTreeThread(): void {
  spare ??= startThread();
}

class Hand {
  readonly worker: Worker;
  readonly asked: number[] = [];
  /** Questions that it has not answered. */
  out = 0;
  busySinceMs = 0;

  constructor(setup: ThreadSetup, answered: (hand: Hand, replies: readonly Reply[]) => void) {
    this.worker = spare ?? startThread();
    spare = null;
    this.worker.postMessage(setup);
    this.worker.on('message', (replies: readonly Reply[]) => answered(this, replies));
    this.worker.on('error', (error) => {
      // A thread that throws is a bug, like anything else that throws.
      throw error;
    });
    this.worker.unref();
  }

  send(questions: readonly Question[]): void {
    if (this.out === 0) this.worker.ref();
    this.out += questions.length;
    this.busySinceMs = performance.now();
    this.worker.postMessage(questions);
  }

  returned(count: number): void {
    this.out -= count;
    assert(this.out >= 0, 'a thread answers what it was asked, once');
    if (this.out === 0) this.worker.unref();
  }
}

export class Crew {
  readonly #setup: ThreadSetup;
  readonly #changer: Hand;
  readonly #lookers: Hand[];
  readonly #askers = new Map<number, Asker>();
  #changes: Question[] = [];
  #looks: Question[] = [];
  #number = 0;
  #sending = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(setup: ThreadSetup) {
    this.#setup = setup;
    this.#changer = this.#hand();
    this.#lookers = [setup.handles === 'index' ? this.#changer : this.#hand()];
  }

  /** `done` is called once, in a later turn, with the answer or an errno; with both where a change could not be made durable. */
  ask<K extends Op>(
    op: K,
    ask: Ask<K>,
    done: (errno: number, answer: Answer<K> | null, durable: boolean) => void,
  ): void {
    const queue = CHANGES.has(op) ? this.#changes : this.#looks;
    if (queue.length >= WAITING_MAX) return void setImmediate(done, ErrorNumber.EAGAIN, null, false);
    this.#number += 1;
    this.#askers.set(this.#number, done as Asker);
    queue.push({ number: this.#number, op, ask });
    if (this.#sending) return;
    this.#sending = true;
    process.nextTick(this.#send);
  }

  /** Ends the threads, when they have answered everything and closed what they had open for themselves. */
  end(done: () => void): void {
    assert(this.#askers.size === 0, 'the threads are ended when nobody waits for them');
    if (this.#timer !== null) clearTimeout(this.#timer);
    const hands = new Set([this.#changer, ...this.#lookers]);
    let left = hands.size;
    for (const { worker } of hands) {
      worker.ref();
      worker.once('exit', () => {
        left -= 1;
        if (left === 0) done();
      });
      worker.postMessage(null);
    }
  }

  #hand(): Hand {
    return new Hand(this.#setup, (hand, replies) => {
      hand.returned(replies.length);
      for (const { number, errno, answer, durable } of replies) {
        const asker = this.#askers.get(number);
        this.#askers.delete(number);
        asker?.(errno, answer, durable);
      }
      if (hand.out === 0 && (this.#changes.length > 0 || this.#looks.length > 0)) this.#send();
    });
  }

  readonly #send = (): void => {
    this.#sending = false;
    if (this.#changer.out === 0 && this.#changes.length > 0) this.#changer.send(this.#changes.splice(0, BATCH_MAX));
    for (const hand of this.#lookers) {
      if (this.#looks.length === 0) return;
      if (hand.out === 0) hand.send(this.#looks.splice(0, BATCH_MAX));
    }
    if (this.#looks.length > 0 && this.#setup.handles === 'kernel') this.#getHelp();
  };

  /** Everybody is busy: soon, perhaps, one more helps. */
  #getHelp(): void {
    if (this.#lookers.length >= LOOKERS_MAX || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#looks.length === 0) return;
      const busySinceMs = Math.max(...this.#lookers.map((hand) => hand.busySinceMs));
      if (performance.now() - busySinceMs >= BUSY_MS) this.#lookers.push(this.#hand());
      this.#send();
    }, BUSY_MS);
  }
}
