/**
 * What all parts of one world share: virtual time, the digest, the story for the timeline, the hooks that faults wait
 * for, and the first broken rule. Nothing here knows the core.
 */
import { Digest } from './digest.ts';
import { Heap, type Agendum } from './heap.ts';

/** One line of the timeline. */
export interface StoryLine {
  readonly atMs: number;
  /** Index of the server it happened at; -1 for the world. */
  readonly server: number;
  /** Where an arrow of the picture points to, if it is one: a server, or 'coordinator' or 'medium'. */
  readonly to: number | 'coordinator' | 'medium' | null;
  readonly kind: 'fault' | 'note' | 'link' | 'coordinator' | 'medium' | 'store' | 'door' | 'client' | 'life' | 'broken';
  readonly text: string;
}

/** A broken rule: what the simulator exists to find. */
export interface Failure {
  /** The invariant or rule, as docs/simulator.md lists them. */
  readonly rule: string;
  readonly text: string;
  readonly atMs: number;
}

/** The moments that a fault can wait for: something a server does or is told. */
export const HOOKS = [
  'swap-sent',
  'swap-landed',
  'claim-landed',
  'suspended-landed',
  'in-sync-landed',
  'mirror-sent',
  'mirror-received',
  'stored-sent',
  'store-synced',
  'store-begun',
  'medium-write',
  'medium-sync',
  'medium-open',
  'released',
  'resync-begin-sent',
  'resync-seal-sent',
  'agreed-sent',
  'tail-asked',
  'door-opened',
  'acknowledged',
] as const;
/** Those of files volumes come on top: what is drawn from the others stays as it is. */
export const FILES_HOOKS = ['tree-call', 'intended', 'name-answered'] as const;
export type Hook = (typeof HOOKS)[number] | (typeof FILES_HOOKS)[number];

/** Counters for the closing lines of a run. */
export interface Tally {
  operations: number;
  acknowledged: number;
  reads: number;
  faults: number;
  swaps: number;
  claims: number;
  takeovers: number;
  crashes: number;
  events: number;
  losses: number;
  /** Requests of files volumes answered that must happen once, and how many of them had been sent again before. */
  renamed: number;
  repeated: number;
  undecided: number;
}

/** More events than this at one virtual moment: somebody runs in a circle. */
const STANDSTILL = 50_000;

export class Context {
  readonly digest = new Digest();
  readonly tally: Tally = {
    operations: 0,
    acknowledged: 0,
    reads: 0,
    faults: 0,
    swaps: 0,
    claims: 0,
    takeovers: 0,
    crashes: 0,
    events: 0,
    losses: 0,
    renamed: 0,
    repeated: 0,
    undecided: 0,
  };
  readonly story: StoryLine[] | null;
  readonly #heap = new Heap();
  #now = 0;
  #lastAt = -1;
  #atOnce = 0;
  #failure: Failure | null = null;
  /** The code of a front end ran, which goes on in promises: they are awaited before anything else happens. */
  stirred = false;
  /** Called at every hook, by the faults that wait. */
  onHook: ((hook: Hook, server: number) => void) | null = null;

  constructor(withStory: boolean) {
    this.story = withStory ? [] : null;
  }

  /** Virtual milliseconds since the world began. */
  get now(): number {
    return this.#now;
  }

  get failure(): Failure | null {
    return this.#failure;
  }

  after(delayMs: number, run: () => void): Agendum {
    return this.#heap.push(this.#now + (delayMs > 0 ? delayMs : 0), run);
  }

  /** Runs the next event, if it comes before `untilMs`. False: nothing was run. */
  step(untilMs: number): boolean {
    for (;;) {
      const next = this.#heap.peek();
      if (next === null || next.at > untilMs) return false;
      this.#heap.pop();
      if (next.run === null) continue;
      this.#now = next.at;
      this.tally.events++;
      if (this.#now === this.#lastAt) {
        if (++this.#atOnce > STANDSTILL) this.fail('time goes on', `${STANDSTILL} events at one moment`);
      } else {
        this.#lastAt = this.#now;
        this.#atOnce = 0;
      }
      this.digest.number(next.at);
      next.run();
      return true;
    }
  }

  get pending(): number {
    return this.#heap.size;
  }

  stir(): void {
    this.stirred = true;
  }

  hook(hook: Hook, server: number): void {
    if (this.onHook !== null) this.onHook(hook, server);
  }

  /** The first broken rule ends the world; later ones are its consequences. */
  fail(rule: string, text: string): void {
    if (this.#failure !== null) return;
    this.#failure = { rule, text, atMs: this.#now };
    this.tell('broken', -1, `${rule}: ${text}`);
  }

  tell(kind: StoryLine['kind'], server: number, text: string, to: StoryLine['to'] = null): void {
    if (this.story !== null) this.story.push({ atMs: this.#now, server, to, kind, text });
  }
}
