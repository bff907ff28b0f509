/** The naive variants of the traps T1 to T16 (`mutation.ts`; docs/simulator.md has the list). */
import type { Coordinator, VolumeRecord } from '../src/ports/coordinator.ts';
import { type Mutation, edit, storm } from './mutation.ts';

export const TRAPS: readonly Mutation[] = [
  {
    id: 'T1',
    what: 'a read shows an operation that only the owner has',
    edits: [
      edit(
        'owner/reads',
        'if (newest > this.#ackable) this.#waiting.push(newest, view);',
        'if (newest < 0) this.#waiting.push(newest, view);',
      ),
    ],
    seeds: [1, 6],
    within: 100,
  },
  {
    id: 'T1b',
    what: 'a read is overtaken on the medium by what is not yet stable',
    edits: [
      edit(
        'owner/reads',
        'if (newest <= this.#ackable) return this.#answerLater(view.request, send);',
        'return this.#answerLater(view.request, send);',
      ),
    ],
    seeds: [402, 1762],
    within: 1500,
  },
  {
    id: 'T2',
    what: 'the drain destages everything, confirmed or not',
    edits: [
      edit(
        'owner/mirrors',
        'if (this.#mustConfirm(mirror)) mark = lower(mark, higher(mirror.stored, this.#tenure.ackable));',
        'if (mirror.phase === "never") mark = lower(mark, mirror.stored);',
      ),
    ],
    seeds: [1, 2],
    within: 100,
  },
  {
    id: 'T3',
    what: 'a claim sets suspended at once',
    edits: [
      edit(
        'record',
        "mirror: 'replaying', source: sourceOf(record),",
        "mirror: record.mirror === 'in-sync' ? 'suspended' : 'replaying', source: sourceOf(record),",
      ),
      edit('record', "assert(record.mirror === 'replaying', 'only a replaying record becomes served');", ''),
    ],
    seeds: [3, 6],
    within: 100,
  },
  {
    id: 'T4',
    what: 'the deposed owner discards its log when it sees a later epoch',
    edits: [
      edit(
        'replica',
        "this.doors.close(this.volume, 'another server owns the volume now');",
        "this.doors.close(this.volume, 'another server owns the volume now'); this.copy.begin({ epoch: record.epoch, generations: [record.generation], base: NO_SEQUENCE, complete: false }, () => undefined);",
      ),
    ],
    seeds: [1, 13],
    within: 100,
  },
  {
    id: 'T5',
    what: 'replay writes old versions on its way to new ones',
    edits: [
      edit(
        'claim',
        'const steps = planOf(gathered.operations);',
        'const steps = gathered.operations.flatMap((operation) => planOf([operation]));',
      ),
      edit('medium-writer', 'const BUNCH_STEPS = 64;', 'const BUNCH_STEPS = 1;'),
      edit('medium-writer', 'const BUNCHES_OUT = 4;', 'const BUNCHES_OUT = 1;'),
    ],
    seeds: [1, 5],
    within: 100,
  },
  {
    id: 'T6',
    what: 'a restarted owner carries on in its epoch',
    edits: [
      edit(
        'record',
        'epoch: (record.epoch + 1)',
        'epoch: (record.epoch + (record.owner?.server === self.server ? 0 : 1))',
      ),
    ],
    seeds: [13, 26],
    within: 100,
  },
  {
    id: 'T7',
    what: 'a refused connection counts as proof of death',
    edits: [
      edit(
        'suspicion',
        'if (this.#asking.has(holder.incarnation)) return;',
        "if (this.#peers.disconnected(holder.server)) return proven('refused'); if (this.#asking.has(holder.incarnation)) return;",
      ),
    ],
    worlds: storm('tight-lease'),
    seeds: [12, 17],
    within: 100,
  },
  {
    id: 'T8',
    what: 'a claimant that restarts skips the wait, since the record names it',
    edits: [
      edit(
        'claim',
        'this.#unproven = record.holders.filter((h) => !this.#isSelf(h));',
        'this.#unproven = base.owner?.server === self.server ? [] : record.holders.filter((h) => !this.#isSelf(h));',
      ),
    ],
    worlds: storm('restarted-claimant'),
    seeds: [75, 215],
    within: 300,
  },
  {
    id: 'T9',
    what: 'a restarted owner replays its journal although the record says suspended',
    edits: [
      edit(
        'claim',
        'if (record.source === null) return this.#write({ operations: [],',
        'if (record.source === null) return this.#write({ operations: this.#replica.recovered ? this.#replica.copy.log.take(this.#replica.copy.log.base + 1, Infinity) : [],',
      ),
    ],
    worlds: storm('deposed'),
    seeds: [108, 116],
    within: 500,
  },
  {
    id: 'T10',
    what: 'the swap to in-sync does not wait for the owner’s own store',
    edits: [
      edit(
        'owner/partnership',
        "candidate.phase === 'sealed' && this.#marked === candidate.generation)",
        "candidate.phase === 'sealed')",
      ),
    ],
    seeds: [30, 52],
    within: 100,
  },
  {
    id: 'T11',
    what: 'operations between the snapshot and the settled swap are written through only',
    edits: [
      edit('owner/mirrors', 'return mirror.closing || this.#mayBeNamed(mirror);', 'return this.named === mirror;'),
    ],
    seeds: [3, 27],
    within: 100,
  },
  {
    id: 'T12',
    what: 'something reaches the medium before the owner’s own store has it',
    edits: [
      edit(
        'owner/tenure',
        'return lower(this.#replica.copy.stored, this.partnership.mirrors.destageable());',
        'return this.partnership.mirrors.destageable();',
      ),
    ],
    seeds: [4, 21],
    within: 100,
  },
  {
    id: 'T13',
    what: 'acknowledgements are tied to the partner, not to store, generation and incarnation',
    edits: [
      edit('owner/mirror', 'export class Mirror {', 'const HEARD = new WeakMap(); export class Mirror {'),
      edit(
        'owner/mirror',
        'this.#stored = higher(this.#stored, position.stored);',
        'this.#stored = higher(this.#stored, position.stored); const log = this.#world.log(); if (!HEARD.has(log)) HEARD.set(log, new Map()); HEARD.get(log).set(this.peer, this.#stored);',
      ),
      edit(
        'owner/mirror',
        'this.capacityBytes = capacityBytes; this.#base = base; this.#sent = base; this.#received = base; this.#stored = base;',
        'this.capacityBytes = capacityBytes; this.#base = base; this.#sent = higher(base, HEARD.get(this.#world.log())?.get(this.peer) ?? base); this.#received = this.#sent; this.#stored = this.#sent;',
      ),
    ],
    worlds: storm('stray-words', { degraded: ['journal'], stores: 'journal' }),
    seeds: [168, 216],
    within: 1000,
  },
  {
    id: 'T14',
    what: 'the swap compares the epoch only',
    edits: [],
    filter: (ports) => ({ ...ports, coordinator: epochOnly(ports.coordinator) }),
    worlds: storm('late-swap'),
    seeds: [361, 362],
    within: 1500,
  },
  {
    id: 'T15',
    what: 'the claimant’s own swap counts as authority',
    edits: [
      edit(
        'claim',
        'this.#epoch = record.epoch;',
        'this.#epoch = record.epoch; this.authority.grant(this.#replica.clock.nowMs() + 10 * waitMs(this.#replica.timings));',
      ),
    ],
    worlds: storm('deposed'),
    seeds: [9, 34],
    within: 100,
  },
  {
    id: 'T16',
    what: 'an empty store after a restart counts as complete',
    edits: [
      edit(
        'record',
        'const named = source.stores.some((s) => s.server === self.server && s.store === self.store); return (',
        'const named = source.stores.some((s) => s.server === self.server); if (self.head === null) return named; return (',
      ),
    ],
    seeds: [3, 16],
    within: 100,
  },
];

/** A coordinator whose swap compares the epoch that it was based on, not the version (trap T14). */
function epochOnly(inner: Coordinator): Coordinator {
  return {
    read: (volume, done) => inner.read(volume, done),
    swap: (volume, next, done) => {
      inner.read(volume, (fault, now) => {
        const base = now !== null && fault === null && now.version >= next.version && basedOn(next) === now.epoch;
        inner.swap(volume, base ? ({ ...next, version: now.version + 1 } as VolumeRecord) : next, done);
      });
    },
    writeEntry: (entry, done) => inner.writeEntry(entry, done),
    readEntry: (server, done) => inner.readEntry(server, done),
    probe: (done) => inner.probe(done),
  };
}

/** The epoch that a swap was based on: a claim raises it by one. */
function basedOn(next: VolumeRecord): number {
  return next.mirror === 'replaying' ? next.epoch - 1 : next.epoch;
}
