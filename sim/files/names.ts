/**
 * What the clients of a files volume were told of its names: every change that was answered took effect exactly once, and
 * all changes and lookups together are those of one tree, one after the other.
 */
import type { ObjectId } from '../../src/ports/tree.ts';
import { unexplained, type Timed } from './explain.ts';
import type { Names } from './platter.ts';

/** One request that cannot be repeated: it may be sent many times. */
export interface NameDeed {
  /** Who asks, and the number of the request. */
  readonly key: string;
  readonly kind: 'create' | 'remove' | 'rename' | 'link';
  readonly directory: ObjectId;
  readonly name: string;
  readonly toDirectory: ObjectId;
  readonly toName: string;
  /** The object of a link. */
  readonly id: ObjectId;
  /** The time of what is created. */
  readonly time: number;
  readonly beginMs: number;
  endMs: number;
  outcome: NameOutcome | null;
  /** How often it took effect, as the device knows. */
  effects: number;
  /** What it created last. */
  made: ObjectId | null;
}

/** What the client is told. */
export interface NameOutcome {
  readonly status: 'ok' | 'EEXIST' | 'ENOENT' | 'ESTALE' | 'ENOSPC' | 'failed';
  readonly id: ObjectId | null;
}

const deeds = new WeakMap<Buffer, NameDeed>();

/** A name as it goes to the tree, so that the device knows for whom. */
export function nameFor(deed: NameDeed, name: string): Buffer {
  const bytes = Buffer.from(name, 'latin1');
  deeds.set(bytes, deed);
  return bytes;
}
export const deedOf = (name: Buffer): NameDeed | null => deeds.get(name) ?? null;

interface Look {
  readonly text: string;
  readonly beginMs: number;
  readonly endMs: number;
  holds(values: readonly string[]): boolean;
}

export class NamesModel {
  /** Every name that there may be. */
  readonly keys: readonly string[];
  readonly #initial: Names;
  readonly #deeds = new Set<NameDeed>();
  readonly #looks: Look[] = [];
  /** A loss was accepted: what had been answered may be forgotten. */
  off = false;

  constructor(keys: readonly string[], initial: Names) {
    this.keys = keys;
    this.#initial = initial;
  }

  begin(deed: NameDeed): void {
    this.#deeds.add(deed);
  }

  /** The front end answers. Returns what is wrong with that, or null. */
  answered(deed: NameDeed, outcome: NameOutcome, sentMs: number, nowMs: number): string | null {
    if (this.off) return null;
    const text = describe(deed);
    const before = deed.outcome;
    if (before !== null && before.status === 'ok' && (before.status !== outcome.status || before.id !== outcome.id))
      return `${text} was answered ${before.status} ${before.id ?? ''} and then ${outcome.status} ${outcome.id ?? ''}`;
    if (outcome.status === 'failed') return null;
    if (outcome.status === 'ok') {
      if (deed.effects === 0) return `${text} was answered ok although it has not taken effect`;
      deed.outcome ??= outcome;
      if (deed.outcome.status !== 'ok') deed.outcome = outcome;
      deed.endMs = Math.min(deed.endMs, nowMs);
    } else {
      if (deed.effects > 0) return `${text} was answered ${outcome.status} although it has taken effect`;
      deed.outcome = outcome;
      this.#looks.push(this.#failed(deed, outcome, sentMs, nowMs));
    }
    return deed.effects > 1 ? `${text} took effect ${deed.effects} times` : null;
  }

  #failed(deed: NameDeed, { status }: NameOutcome, beginMs: number, endMs: number): Look {
    const target = this.#at(
      deed.kind === 'rename' ? deed.toDirectory : deed.directory,
      deed.kind === 'rename' ? deed.toName : deed.name,
    );
    const source = this.#at(deed.directory, deed.name);
    return {
      text: `${describe(deed)}: ${status}`,
      beginMs,
      endMs,
      holds: (values) => {
        if (status === 'EEXIST') return values[target] !== '';
        if (status === 'ENOENT') return values[source] === '';
        return status !== 'ESTALE' || !values.includes(deed.id);
      },
    };
  }

  /** A lookup was answered; null: the name is free. */
  looked(directory: ObjectId, name: string, id: ObjectId | null, beginMs: number, endMs: number): void {
    const at = this.#at(directory, name);
    const text = `lookup of ${directory}/${name} from ${beginMs.toFixed(2)} to ${endMs.toFixed(2)}: ${id ?? 'none'}`;
    this.#looks.push({ text, beginMs, endMs, holds: (values) => values[at] === (id ?? '') });
  }

  #at(directory: ObjectId, name: string): number {
    return this.keys.indexOf(`${directory}/${name}`);
  }

  /** What no order of the changes explains; null: all is well; 'undecided'. */
  judge(): string | null {
    if (this.off) return null;
    const timed: Timed<string>[] = [];
    for (const deed of this.#deeds) {
      if (deed.effects > 1) return `${describe(deed)} took effect ${deed.effects} times`;
      if (deed.effects === 0) {
        if (deed.outcome?.status === 'ok') return `${describe(deed)} was answered ok and did not take effect`;
        continue;
      }
      timed.push({
        text: describe(deed),
        beginMs: deed.beginMs,
        endMs: deed.endMs,
        must: true,
        isLook: false,
        lane: null,
        mayTear: () => false,
        apply: (value) => this.#carriedOut(deed, value.split(',')),
      });
    }
    for (const look of this.#looks)
      timed.push({
        text: look.text,
        beginMs: look.beginMs,
        endMs: look.endMs,
        must: true,
        isLook: true,
        lane: null,
        mayTear: () => false,
        apply: (value) => (look.holds(value.split(',')) ? [value] : []),
      });
    return unexplained(this.keys.map((key) => this.#initial.get(key) ?? '').join(), timed);
  }

  #carriedOut(deed: NameDeed, values: string[]): string[] {
    const at = this.#at(deed.directory, deed.name);
    switch (deed.kind) {
      case 'create':
        if (values[at] !== '') return [];
        values[at] = deed.made ?? '';
        break;
      case 'link':
        if (values[at] !== '' || !values.includes(deed.id)) return [];
        values[at] = deed.id;
        break;
      case 'remove':
        if (values[at] === '') return [];
        values[at] = '';
        break;
      case 'rename': {
        const id = values[at] ?? '';
        const to = this.#at(deed.toDirectory, deed.toName);
        if (id === '') return [];
        if (values[to] === id) break;
        values[at] = '';
        values[to] = id;
      }
    }
    return [values.join()];
  }
}

export function describe({ kind, directory, name, toDirectory, toName, id, key }: NameDeed): string {
  const to = kind === 'rename' ? ` to ${toDirectory}/${toName}` : kind === 'link' ? ` of ${id}` : '';
  return `${kind} ${directory}/${name}${to} (request ${key})`;
}
