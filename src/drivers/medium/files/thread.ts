/**
 * A thread of the tree: answers batches of questions about one volume, one question behind the other, by system calls that
 * block. A medium that hangs holds up this thread and no other. The answers of a batch go back together, but those that are
 * there already do not wait long for one that takes its time.
 *
 * With an index, questions whose object is not where it was seen last wait for a walk of the tree; one walk answers all that
 * wait when it begins. Whoever asks for what is not there pays with time: walks take at most a fifth of it.
 */
import { parentPort } from 'node:worker_threads';
import { ErrorNumber } from '../../linux/errno.ts';
import * as alter from './alter.ts';
import { BatchSync } from './batch-sync.ts';
import { TreeWalk } from './inode-index.ts';
import * as look from './look.ts';
import { Maker } from './make.ts';
import { indexOf } from './object-id.ts';
import { MISS, ObjectsAt } from './objects-at.ts';
import type { Answer, Ask, Op, Question, Reply, ThreadSetup } from './words.ts';

const { EAGAIN } = ErrorNumber;

/** Answers that are there wait no longer than this for the rest of their batch. */
const PATIENCE_MS = 0.5;
/** A walk goes on for so long before other questions are looked at. */
const SLICE_MS = 4;
/** The pause after a walk, in times of what it took, and at least. */
const PAUSE_PART = 4;
const PAUSE_MS = 20;
/** Walks that find less than was asked for because something moved are begun again so often, the last time without a break. */
const WALKS_MAX = 3;
/** Questions that wait for walks. */
const MISSED_MAX = 1024;

type Answers = { readonly [K in Op]: (ask: Ask<K>) => Answer<K> | number };

class TreeThread {
  readonly #objects: ObjectsAt;
  readonly #answers: Answers;
  readonly #post: (replies: readonly Reply[], handedOver: readonly ArrayBuffer[]) => void;
  readonly #sync: BatchSync;
  #missed: Question[] = [];
  #replies: Reply[] = [];
  /** Memory that goes to the asker with the replies, instead of being copied. */
  #handedOver: ArrayBuffer[] = [];
  #walking = false;
  #pause: NodeJS.Timeout | null = null;

  constructor(setup: ThreadSetup, post: (replies: readonly Reply[], handedOver: readonly ArrayBuffer[]) => void) {
    const objects = new ObjectsAt(setup);
    const maker = new Maker(objects);
    this.#objects = objects;
    this.#sync = new BatchSync(setup.syncs, setup.rootFd);
    this.#post = post;
    this.#answers = {
      attributes: (ask) => look.attributes(objects, ask),
      lookup: (ask) => look.lookup(objects, ask),
      readLink: (ask) => look.readLink(objects, ask),
      list: (ask) => look.list(objects, ask),
      usage: () => look.usage(objects),
      open: (ask) => look.open(objects, ask),
      close: (ask) => look.close(ask),
      create: (ask) => maker.create(ask),
      change: (ask) => alter.change(objects, ask),
      link: (ask) => alter.link(objects, ask),
      remove: (ask) => alter.remove(objects, ask),
      rename: (ask) => alter.rename(objects, ask),
      stamp: (ask) => alter.stamp(objects, ask),
    };
  }

  take(questions: readonly Question[]): void {
    let since = performance.now();
    for (const question of questions) {
      const result = this.#ask(question);
      if (result === MISS) this.#miss(question);
      else if (typeof result !== 'number' && this.#sync.covers(question.op)) this.#sync.made(question, result);
      else this.#reply(question, result);
      const now = performance.now();
      if (now - since > PATIENCE_MS) {
        this.#flush();
        since = now;
      }
    }
    this.#replyMade();
    this.#flush();
  }

  /** The batch's changes are made durable; a new file that is not to be kept open was open until now for that. */
  #replyMade(): void {
    for (const reply of this.#sync.run()) this.#replies.push(reply);
  }

  /** Everything was answered; nothing is left open. */
  end(): void {
    this.#sync.end();
    if (this.#pause !== null) clearTimeout(this.#pause);
  }

  #ask({ op, ask }: Question): Answer<Op> | number {
    return (this.#answers[op] as (ask: Ask<Op>) => Answer<Op> | number)(ask);
  }

  #reply({ number }: Question, result: Answer<Op> | number): void {
    if (typeof result === 'number') this.#replies.push({ number, errno: -result, answer: null, durable: false });
    else {
      this.#replies.push({ number, errno: 0, answer: result, durable: false });
      if ('bytes' in result) this.#handedOver.push(result.bytes);
    }
  }

  #flush(): void {
    if (this.#replies.length === 0) return;
    this.#post(this.#replies, this.#handedOver);
    this.#replies = [];
    this.#handedOver = [];
  }

  #miss(question: Question): void {
    if (this.#missed.length >= MISSED_MAX) return this.#reply(question, -EAGAIN);
    this.#missed.push(question);
    if (this.#walking) return;
    this.#walking = true;
    setImmediate(() => this.#walk());
  }

  /** Looks for everything that is missed now, then answers it. */
  #walk(): void {
    const asked = this.#missed;
    this.#missed = [];
    const begun = performance.now();
    this.#search(idsOf(asked), 1, (absent, failed) => {
      for (const id of absent) this.#objects.giveUp(id);
      for (const question of asked) {
        const result = this.#ask(question);
        // Not everything could be looked at, or something moved between the walk and now.
        this.#reply(question, result === MISS ? failed || -EAGAIN : result);
      }
      this.#flush();
      const pauseMs = Math.max(PAUSE_MS, (performance.now() - begun) * PAUSE_PART);
      this.#pause = setTimeout(() => {
        this.#walking = this.#missed.length > 0;
        if (this.#walking) this.#walk();
      }, pauseMs);
    });
  }

  /** Walks the tree for these ids; tells which of them are not in it, and a negative errno when nobody can tell. */
  #search(ids: ReadonlySet<string>, round: number, done: (absent: readonly string[], failed: number) => void): void {
    const { index, reader, setup, moves } = this.#objects;
    const numbers = new Map<string, bigint>();
    for (const id of ids) {
      const found = indexOf(id);
      if (found !== null) numbers.set(id, found.inode);
    }
    if (index === null) return done([], 0);
    const wanted = new Set(numbers.values());
    const walk = new TreeWalk(index, reader, setup.rootFd, wanted, (...name) => this.#objects.openIn(...name));
    const until = (): number => performance.now() + (round >= WALKS_MAX ? Infinity : SLICE_MS);
    const go = (): void => {
      const end = until();
      while (walk.step()) if (performance.now() > end) return void setImmediate(go);
      const absent = [...ids].filter((id) => wanted.has(numbers.get(id) ?? 0n));
      if (walk.failed !== 0) return done([], walk.failed);
      if (absent.length > 0 && this.#objects.moves !== moves && round < WALKS_MAX)
        return this.#search(ids, round + 1, done);
      done(absent, 0);
    };
    go();
  }
}

/** The ids that a question rests on. */
function idsOf(questions: readonly Question[]): Set<string> {
  const ids = new Set<string>();
  for (const { ask } of questions) {
    if ('id' in ask) ids.add(ask.id);
    if ('object' in ask) ids.add(ask.object);
    if ('to' in ask) ids.add(ask.to);
  }
  return ids;
}

const port = parentPort;
if (port !== null) {
  let thread: TreeThread | null = null;
  // First what it is to work on, then batches of questions, and null for the end.
  port.on('message', (message: ThreadSetup | readonly Question[] | null) => {
    if (message === null) {
      thread?.end();
      port.close();
    } else if (thread === null) {
      thread = new TreeThread(message as ThreadSetup, (replies, handedOver) => port.postMessage(replies, handedOver));
    } else thread.take(message as readonly Question[]);
  });
}
