/**
 * The seeded mutations: naive variants of the core that the checkers must catch, most of them from the list of traps
 * (docs/simulator.md maps them). Each is a small change of the core's own text, applied to a copy at run time
 * (`mutate.ts`), or a filter of its ports; the core itself is never touched. A text that no longer occurs exactly once
 * fails the test: whoever changed the core says here what the same mistake would look like now.
 *
 * White space in `find` matches any white space, so that the texts fit the sources and what is compiled from them.
 */
import type { PlanOptions } from './draw.ts';
import type { Storm } from './storms.ts';
import type { PortsFilter } from './world.ts';

export interface Edit {
  readonly room: 'core' | 'front/nfs';
  /** Path within src/ROOM, without its ending. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutation {
  /** The trap, or P and a number for the plain ones. */
  readonly id: string;
  readonly what: string;
  readonly edits: readonly Edit[];
  readonly filter?: PortsFilter;
  /** What worlds must contain for the mistake to show; the default worlds otherwise. */
  readonly worlds?: Partial<PlanOptions>;
  /** Seeds that caught it when this was written: tried first. */
  readonly seeds: readonly number[];
  /** Caught within so many seeds, counted from 1, when those do not any more. */
  readonly within: number;
}

/** Only worlds with that storm. */
export const storm = (name: Storm, more: Partial<PlanOptions> = {}): Partial<PlanOptions> => ({ storm: name, ...more });
/** Requests that wait, and clients that do not. */
export const SLUGGISH: Partial<PlanOptions> = { menu: ['store', 'medium', 'full', 'freeze', 'isolate'] };

export const edit = (file: string, find: string, replace: string): Edit => ({ room: 'core', file, find, replace });
export const frontEdit = (file: string, find: string, replace: string): Edit => ({
  room: 'front/nfs',
  file,
  find,
  replace,
});
