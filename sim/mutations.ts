/** All seeded mutations: `sim/mutations.test.ts` demands that each is caught. */
import type { Mutation } from './mutation.ts';
import { OF_FILES } from './mutations-files.ts';
import { PLAIN } from './mutations-plain.ts';
import { LATER_TRAPS } from './mutations-later-traps.ts';
import { TRAPS } from './mutations-traps.ts';

export const MUTATIONS: readonly Mutation[] = [...PLAIN, ...TRAPS, ...LATER_TRAPS, ...OF_FILES];
