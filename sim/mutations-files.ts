/** Mistakes that only files volumes show: with sizes, times, calls on the tree, and requests that must not be repeated. */
import type { Medium, MediumVolume } from '../src/ports/medium.ts';
import type { ObjectId } from '../src/ports/tree.ts';
import type { SimMedium } from './medium.ts';
import { type Mutation, edit, frontEdit, storm } from './mutation.ts';

const FILES = { files: 1 };

export const OF_FILES: readonly Mutation[] = [
  {
    id: 'F1',
    what: 'a truncate is written as such, before the writes that followed it (T5)',
    edits: [
      edit(
        'owner/plan',
        'for (const sweep of newest.sweeps()) while (sweep.next()) { const { from, to, operation } = sweep;',
        'const cuts = new Map(); for (const sweep of newest.sweeps()) while (sweep.next()) { const { from, to, operation } = sweep; if (operation.kind === OperationKind.truncate) cuts.set(operation.target, operation.offset);',
      ),
      edit(
        'owner/plan',
        'for (const [target, { exactBytes }] of newest.files())',
        "for (const [target, offset] of cuts) steps.unshift({ kind: 'resize', target, offset, length: LARGEST_OBJECT_BYTES - offset }); for (const [target, { exactBytes }] of [])",
      ),
      edit('medium-writer', 'const BUNCH_STEPS = 64;', 'const BUNCH_STEPS = 1;'),
      edit('medium-writer', 'const BUNCHES_OUT = 4;', 'const BUNCHES_OUT = 1;'),
    ],
    worlds: FILES,
    seeds: [517, 653],
    within: 300,
  },
  {
    id: 'F2',
    what: 'a time is set before the writes have returned',
    edits: [edit('medium-writer', '&& !this.#stampsTooEarly()', '')],
    worlds: FILES,
    seeds: [1],
    within: 100,
  },
  {
    id: 'F3',
    what: 'what is pending of a file is forgotten with the first operation that is released',
    edits: [
      edit(
        'owner/pending',
        "if (target !== '' && this.#files.get(target)?.newest === sequence) this.#files.delete(target);",
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
    edits: [
      frontEdit(
        'recording',
        'const fault = await this.#volume.ring.intend(this.kept, intent); return fault === null ? null : failureOf(fault);',
        'void this.#volume.ring.intend(this.kept, intent); return null;',
      ),
    ],
    worlds: FILES,
    seeds: [],
    within: 300,
  },
  {
    id: 'F7',
    what: 'the door opens before the intents of before are settled',
    edits: [
      frontEdit(
        'replies/recovery',
        'for (const slot of loaded.open) {',
        'for (const slot of loaded.open.slice(0, 0)) {',
      ),
    ],
    worlds: FILES,
    seeds: [],
    within: 300,
  },
  {
    id: 'F8',
    what: 'the replies of before are forgotten',
    edits: [frontEdit('replies/ring', "else if (slot.state === 'reply') this.#remember(slot);", '')],
    worlds: FILES,
    seeds: [],
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
  {
    id: 'F12',
    what: 'a request is answered before its reply is mirrored',
    edits: [
      frontEdit(
        'files-program',
        'while ((await volume.ring.conclude(kept, encoded)) !== null) await volume.calls.pause();',
        'void volume.ring.conclude(kept, encoded);',
      ),
    ],
    worlds: FILES,
    seeds: [],
    within: 500,
  },
  {
    id: 'F13',
    what: 'an intent that was not carried out gets a reply all the same',
    edits: [frontEdit('replies/recovery', 'if (!done) return null;', '')],
    worlds: FILES,
    seeds: [],
    within: 300,
  },
  {
    id: 'F14',
    what: 'sizes and times are shown before they are acknowledged (T1)',
    edits: [
      frontEdit(
        'inode',
        'this.#last = modification; service.submit(modification);',
        'this.#last = modification; this.#apply(modification); service.submit(modification);',
      ),
    ],
    worlds: FILES,
    seeds: [],
    within: 300,
  },
  {
    id: 'F15',
    what: 'wcc data says of before what is so after',
    edits: [
      frontEdit(
        'inode',
        'const before = this.before; if (head.fault === null) this.#apply(head);',
        'if (head.fault === null) this.#apply(head); const before = this.before;',
      ),
    ],
    worlds: FILES,
    seeds: [],
    within: 100,
  },
  {
    id: 'F16',
    what: 'what was removed is still shown to who has its handle',
    edits: [frontEdit('procedures/removing', "removed.victim('attributes');", '')],
    worlds: FILES,
    seeds: [],
    within: 100,
  },
  {
    id: 'F17',
    what: 'requests on one name do not wait for each other',
    edits: [
      frontEdit(
        'recording',
        'await this.#volume.locks.acquire(keys);',
        'keys = [`${this.#call.xid}`]; await this.#volume.locks.acquire(keys);',
      ),
    ],
    worlds: FILES,
    seeds: [],
    within: 300,
  },
  {
    id: 'F18',
    what: 'what is undestaged is not laid over what the medium says of a file',
    edits: [frontEdit('inode', 'if (pending !== null) this.#overlay(pending, nowNs); else if', 'if')],
    worlds: FILES,
    seeds: [],
    within: 100,
  },
  {
    id: 'F19',
    what: 'when the look behind a change fails, what was before it is shown',
    edits: [frontEdit('volume', 'if (found instanceof Fault && isTrouble(found)) return found;', '')],
    worlds: FILES,
    seeds: [2013],
    within: 1000,
  },
  {
    id: 'F20',
    what: 'attributes that were read before a change and told after it are shown for what they are',
    edits: [frontEdit('volume', 'if (!inode.isNewest(ticket)) return this.refreshed(tree, inode);', '')],
    worlds: FILES,
    seeds: [132, 167, 255],
    within: 1000,
  },
  {
    id: 'F21',
    what: 'an object that is loaded while it is made has two inodes',
    edits: [frontEdit('inodes', 'if (this.#overtaken.delete(id)) return this.ofId(id);', '')],
    worlds: FILES,
    seeds: [200, 592],
    within: 1000,
  },
  {
    id: 'F22',
    what: 'a guarded SETATTR is judged before what is on its way has changed the ctime',
    edits: [
      frontEdit('procedures/setattr', 'await inode.settled();', ''),
      frontEdit(
        'procedures/setattr',
        'if (asked.guardNs !== null && asked.guardNs !== inode.ctimeNs) return',
        'if (false) return',
      ),
    ],
    worlds: FILES,
    seeds: [24],
    within: 300,
  },
  {
    id: 'F23',
    what: 'what is still written to a removed file lands in another one',
    edits: [],
    filter: (ports) => ({
      ...ports,
      media: new Map([...ports.media].map(([name, medium]) => [name, misdirecting(medium as SimMedium)])),
    }),
    worlds: FILES,
    seeds: [],
    within: 100,
  },
];

/** As if ids were reused: who writes to a file that is gone hits the one that was made last. */
function misdirecting(port: SimMedium): Medium {
  const targetOf = (target: ObjectId): ObjectId => {
    const files = port.device.files[port.volume];
    if (files === undefined || files === null || files.exists(target)) return target;
    return [...files.tree.values()].findLast(({ type }) => type === 'file')?.id ?? target;
  };
  const wrapped = (volume: MediumVolume): MediumVolume => ({
    abilities: volume.abilities,
    tree: volume.tree,
    sizeBytes: (target) => volume.sizeBytes(target),
    read: (...asked) => volume.read(...asked),
    write: (target, ...asked) => volume.write(targetOf(target), ...asked),
    zero: (...asked) => volume.zero(...asked),
    resize: (...asked) => volume.resize(...asked),
    stamp: (...asked) => volume.stamp(...asked),
    sync: (done) => volume.sync(done),
    reserve: (...asked) => volume.reserve(...asked),
    extents: (...asked) => volume.extents(...asked),
    close: (done) => volume.close(done),
  });
  return {
    open: (name, expected, done) =>
      port.open(name, expected, (fault, volume) => done(fault, volume === null ? null : wrapped(volume))),
    probe: (expected, done) => port.probe(expected, done),
  };
}
