/** The naive variants of the traps T1 to T32 that the core can express (`mutation.ts`; docs/simulator.md). */
import type { Coordinator, VolumeRecord } from '../src/ports/coordinator.ts';
import { type Mutation, SLUGGISH, edit, storm } from './mutation.ts';

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
    seeds: [8, 11],
    within: 100,
  },
  {
    id: 'T1b',
    what: 'a read is overtaken on the medium by what is not yet stable',
    edits: [
      edit(
        'owner/reads',
        'if (newest <= this.#ackable) return this.#answerLater(view, send);',
        'return this.#answerLater(view, send);',
      ),
    ],
    seeds: [77],
    within: 500,
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
    seeds: [1],
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
    seeds: [3, 4],
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
    seeds: [30, 34],
    within: 500,
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
      edit('medium-writer', 'const STEPS_OUT = 64;', 'const STEPS_OUT = 1;'),
    ],
    seeds: [7, 23],
    within: 1500,
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
    seeds: [20, 38],
    within: 200,
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
    seeds: [18, 75],
    within: 300,
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
    seeds: [46, 93],
    within: 3000,
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
    seeds: [21, 69],
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
    seeds: [30, 93],
    within: 500,
  },
  {
    id: 'T11',
    what: 'operations between the snapshot and the settled swap are written through only',
    edits: [
      edit('owner/mirrors', 'return mirror.closing || this.#mayBeNamed(mirror);', 'return this.named === mirror;'),
    ],
    seeds: [4, 7],
    within: 200,
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
    seeds: [4, 6],
    within: 200,
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
    seeds: [],
    within: 500,
  },
  {
    id: 'T14',
    what: 'the swap compares the epoch only',
    edits: [],
    filter: (ports) => ({ ...ports, coordinator: epochOnly(ports.coordinator) }),
    worlds: storm('late-swap'),
    seeds: [26, 39],
    within: 1000,
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
    seeds: [2, 15],
    within: 500,
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
    seeds: [10, 28],
    within: 500,
  },
  {
    id: 'T17',
    what: 'the partner drops a fresh copy because it just read suspended',
    edits: [
      edit(
        'replica',
        'this.planned.follow(record);',
        "if (record.mirror === 'suspended' && this.#claim === null && this.copy.head?.complete && record.owner?.server !== this.self.server) this.copy.setAside(() => undefined); this.planned.follow(record);",
      ),
    ],
    seeds: [1],
    within: 100,
  },
  {
    id: 'T18',
    what: 'a swap that timed out is taken for not done',
    edits: [
      edit(
        'register',
        "if (outcome === 'done') this.#took(record, null); else this.#settle(pending);",
        "if (outcome === 'done') this.#took(record, null); else { this.#pending = null; pending.attempt.settled(false); this.#events.changed(); }",
      ),
    ],
    worlds: storm('late-swap'),
    seeds: [3, 11],
    within: 1000,
  },
  {
    id: 'T19',
    what: 'a claim of an earlier process, landed late or not, is not noticed by its next one',
    edits: [
      edit('occasion', "? { detector: null, why: 'a claim of this server’s landed late' }", '? null'),
      edit('occasion', ": { detector: 'process', why: 'this server restarted' };", ': null;'),
    ],
    worlds: storm('given-up', { losses: 0, stores: 'journal' }),
    seeds: [1, 23],
    within: 3000,
  },
  {
    id: 'T20',
    what: 'a partner that blinked discards its copy while the record still says in-sync',
    edits: [
      edit(
        'replica',
        'this.recovered = copy.head !== null;',
        'if (copy.head !== null) copy.setAside(() => undefined); this.recovered = false;',
      ),
    ],
    seeds: [4, 13],
    within: 100,
  },
  {
    id: 'T21',
    what: 'the agreeing owner serves on',
    edits: [
      edit(
        'handover',
        'this.#agreeing = true;',
        "this.#agreeing = true; this.#agreed = true; this.#tell('agreed', null); return this.#tenure.unhold();",
      ),
    ],
    seeds: [334, 359],
    within: 1100,
  },
  {
    id: 'T22',
    what: 'fences before the swap',
    edits: [
      edit(
        'claim',
        "this.#step('swapping', { why: this.#reason.why });",
        "this.#step('swapping', { why: this.#reason.why }); for (const victim of base.holders) if (!this.#isSelf(victim)) this.#replica.fence.run(victim, this.#replica.volume, () => undefined);",
      ),
    ],
    seeds: [28, 30],
    within: 100,
  },
  {
    id: 'T23',
    what: 'what is mounted is taken for the medium',
    edits: [
      edit('claim', 'medium.open(volume, record.mediumId,', "medium.open(volume, 'any' as never,"),
      edit('claim', 'medium.probe(register.known.mediumId,', "medium.probe('any' as never,"),
    ],
    worlds: storm('no-mount'),
    seeds: [],
    within: 500,
  },
  {
    id: 'T24',
    what: 'a failed sync is just repeated',
    edits: [
      edit(
        'medium-writer',
        'this.#medium.sync((fault) => {',
        'this.#medium.sync((fault) => { if (fault !== null) { this.#out -= 1; return this.#sync(); }',
      ),
    ],
    seeds: [6, 8],
    within: 300,
  },
  {
    id: 'T25b',
    what: 'a claim does not run the fence: what a frozen server had in hand lands later',
    edits: [edit('claim', 'if (victim === undefined) return this.#wait();', 'return this.#wait();')],
    worlds: storm('late-io'),
    seeds: [],
    within: 500,
  },
  {
    id: 'T25c',
    what: 'a fence that failed counts as done',
    edits: [edit('claim', "if (fault === null) { this.#why = '';", "if (fault !== undefined) { this.#why = '';")],
    worlds: storm('late-io'),
    seeds: [],
    within: 1000,
  },
  {
    id: 'T25',
    what: 'medium I/O that has not returned is not waited for',
    edits: [edit('owner/destager', 'if (this.#running || this.#stopped ||', 'if (this.#stopped ||')],
    seeds: [1],
    within: 100,
  },
  {
    id: 'T26',
    what: 'a partner that the record no longer names still grants, and the owner takes it',
    edits: [
      edit('partner', 'granted: accepted && this.#grants(from, incarnation, line),', 'granted: true,'),
      edit(
        'owner/partnership',
        'const named = this.mirrors.named; return',
        'const named = this.mirrors.named; if (from !== null) return true; return',
      ),
    ],
    worlds: storm('retargeted', { servers: 3 }),
    seeds: [23, 201],
    within: 1000,
  },
  {
    id: 'T27',
    what: 'a read of the record counts from when it returned',
    edits: [
      edit(
        'register',
        'if (issuedAtMs !== null) this.#events.confirmed(record, issuedAtMs);',
        'if (issuedAtMs !== null) this.#events.confirmed(record, this.#clock.nowMs());',
      ),
    ],
    worlds: storm('late-reads'),
    seeds: [14, 40],
    within: 2000,
  },
  {
    id: 'T27b',
    what: 'the partner’s grant counts from when it arrived',
    edits: [edit('replica', 'this.#authority?.grant(sentAtMs);', 'this.#authority?.grant(this.clock.nowMs());')],
    worlds: storm('late-grants'),
    seeds: [222, 519],
    within: 3000,
  },
  {
    id: 'T29',
    what: 'a recovered log is taken for whole without asking the other holder',
    edits: [
      edit(
        'gather',
        "this.#certain = this.#whole && (!this.#replica.recovered || this.#source.from === 'sole');",
        'this.#certain = this.#whole;',
      ),
    ],
    worlds: storm('rot', { losses: 0 }),
    seeds: [31, 34],
    within: 1500,
  },
  {
    id: 'T30',
    what: 'what an administrator gave up is erased when its server returns',
    edits: [
      edit('record', "if (head.epoch === record.replayed.epoch && record.replayed.sequence === 0) return 'aside';", ''),
      edit('record', "return last > record.replayed.sequence ? 'aside' : 'void';", "return 'void';"),
      edit('record', "return head.epoch < record.replayed.epoch ? 'aside' : 'void';", "return 'void';"),
    ],
    worlds: storm('given-up', { losses: 1, stores: 'journal' }),
    seeds: [18, 19],
    within: 1500,
  },
  {
    id: 'T31',
    what: 'a release that was lost is not repeated',
    edits: [
      edit('owner/partnership', 'mirror.tick(); mirror.release();', 'mirror.tick();'),
      edit('partner', 'if (accepted) copy.release(line.released, line.acknowledged);', ''),
      edit('partner', 'copy.release(message.released, message.acknowledged); if (gap', 'if (gap'),
    ],
    seeds: [38, 142],
    within: 500,
  },
  {
    id: 'T32',
    what: 'a request whose connection is gone is admitted later',
    edits: [
      edit(
        'owner/tenure',
        'if (request.cancelled) this.#queue.shift();',
        'if (request.offset < 0) this.#queue.shift();',
      ),
      edit('owner/tenure', 'if (!request.cancelled) this.#accept(request);', 'this.#accept(request);'),
    ],
    worlds: SLUGGISH,
    seeds: [95, 285],
    within: 1500,
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
