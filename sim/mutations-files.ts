/** Mistakes that only files volumes show: with sizes, times, calls on the tree, and requests that must not be repeated. */
import { type Mutation, edit, storm } from './mutation.ts';

const FILES = { files: 1 };

export const OF_FILES: readonly Mutation[] = [
  {
    id: 'F1',
    what: 'a truncate is written as such, before the writes that followed it (T5)',
    edits: [
      edit(
        'owner/plan',
        'for (const [target, { exactBytes }] of newest.files())',
        "steps.unshift(...[...operations].filter((o) => o.kind === OperationKind.truncate).map((o) => ({ kind: 'resize', target: o.target, offset: o.offset, length: LARGEST_OBJECT_BYTES - o.offset }))); for (const [target, { exactBytes }] of [])",
      ),
      edit('medium-writer', 'const STEPS_OUT = 512;', 'const STEPS_OUT = 1;'),
    ],
    worlds: FILES,
    seeds: [74],
    within: 300,
  },
  {
    id: 'F2',
    what: 'a time is set before the writes have returned',
    edits: [edit('medium-writer', '!this.#stampsTooEarly() &&', '')],
    worlds: FILES,
    seeds: [1],
    within: 100,
  },
  {
    id: 'F3',
    what: 'what is pending of a file is forgotten with the first operation that is released',
    edits: [
      edit(
        'owner/overlay',
        "if (target !== '' && this.#files.get(target)?.newest === operation.sequence) this.#files.delete(target);",
        "if (target !== '') this.#files.delete(target);",
      ),
    ],
    worlds: FILES,
    seeds: [1],
    within: 100,
  },
  {
    id: 'F4',
    what: 'a call is begun without authority',
    edits: [edit('owner/reads', 'if (tree === null || !this.#world.mayAnswer())', 'if (tree === null)')],
    worlds: storm('deposed', FILES),
    seeds: [7],
    within: 300,
  },
  {
    id: 'F5',
    what: 'a handover does not wait for the calls on the tree',
    edits: [
      // Closing the medium waits for them as well.
      edit(
        'owner/tenure',
        'this.destager.stop(() => this.#medium.close(() => idle()));',
        'this.destager.stop(() => { this.#medium.close(() => undefined); idle(); });',
      ),
      edit('owner/tenure', '!this.#reserving && this.#reads.calling === 0', '!this.#reserving'),
    ],
    worlds: storm('slow-calls', FILES),
    seeds: [12],
    within: 500,
  },
  {
    id: 'F6',
    what: 'a name is changed before the intent is mirrored',
    edits: [],
    habits: { hasty: true },
    worlds: FILES,
    seeds: [9],
    within: 500,
  },
  {
    id: 'F7',
    what: 'the door opens before the intents of before are settled',
    edits: [],
    habits: { careless: true },
    worlds: FILES,
    seeds: [9],
    within: 300,
  },
  {
    id: 'F8',
    what: 'the replies of before are forgotten',
    edits: [],
    habits: { forgetful: true },
    worlds: FILES,
    seeds: [1],
    within: 200,
  },
  {
    id: 'F9',
    what: 'a truncate does not determine what lies behind it',
    edits: [
      edit(
        'owner/tenure',
        "length: request.kind === 'truncate' ? LARGEST_OBJECT_BYTES - request.offset : request.length,",
        'length: request.length,',
      ),
    ],
    worlds: FILES,
    seeds: [1],
    within: 100,
  },
  {
    id: 'F10',
    what: 'a replay leaves the times as the medium made them',
    edits: [
      edit(
        'claim',
        'const steps = planOf(gathered.operations);',
        "const steps = planOf(gathered.operations).filter(({ kind }) => kind !== 'stamp');",
      ),
    ],
    worlds: FILES,
    seeds: [3],
    within: 100,
  },
  {
    id: 'F11',
    what: 'what a truncate cleared below the final size is not zeroed',
    edits: [
      edit(
        'owner/plan',
        'const end = kind === OperationKind.truncate ? Math.min(to, newest.pending(target)?.exactBytes ?? 0) : to;',
        'const end = kind === OperationKind.truncate ? 0 : to;',
      ),
    ],
    worlds: FILES,
    seeds: [2],
    within: 100,
  },
];
