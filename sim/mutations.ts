/**
 * The seeded mutations: naive variants of the core that the checkers must catch, most of them from the list of traps
 * (docs/simulator.md maps them). Each is a small change of the core's own text, applied to a copy at run time
 * (`mutate.ts`), or a filter of its ports; the core itself is never touched. A text that no longer occurs exactly once
 * fails the test: whoever changed the core says here what the same mistake would look like now.
 *
 * White space in `find` matches any white space, so that the texts fit the sources and what is compiled from them.
 */
import type { Coordinator, VolumeRecord } from '../src/ports/coordinator.ts';
import type { PlanOptions } from './draw.ts';
import type { Storm } from './storms.ts';
import type { PortsFilter } from './world.ts';

export interface Edit {
  /** Path within src/core, without its ending. */
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
  /** Caught within so many seeds, counted from 1. */
  readonly within: number;
}

/** Only worlds with that storm. */
const storm = (name: Storm, more: Partial<PlanOptions> = {}): Partial<PlanOptions> => ({ storm: name, ...more });
/** Requests that wait, and clients that do not. */
const SLUGGISH: Partial<PlanOptions> = { menu: ['store', 'medium', 'full', 'freeze', 'isolate'] };

const edit = (file: string, find: string, replace: string): Edit => ({ file, find, replace });

export const MUTATIONS: readonly Mutation[] = [
  {
    id: 'P1',
    what: 'acknowledges before the partner has it',
    edits: [
      edit('owner/mirrors', 'if (this.#mustConfirm(mirror)) mark = lower(mark, mirror.stored);', 'if (mirror.phase === "never") mark = lower(mark, mirror.stored);'),
    ],
    within: 20,
  },
  {
    id: 'P2',
    what: 'releases before the medium is synced',
    edits: [edit('medium-writer', 'if (!this.#syncing) this.#sync();', 'this.#events.finished(null, false);')],
    within: 20,
  },
  {
    id: 'P3',
    what: 'the partner checks neither epoch nor generation of what it mirrors',
    edits: [
      edit('partner', 'if (head.epoch !== life.epoch || !head.generations.includes(life.generation)) return false;', ''),
      edit('partner', 'if (known !== null && known.epoch > life.epoch) return false;', ''),
      edit('partner', 'if (known !== null && known.epoch === life.epoch && known.owner?.server !== from) return false;', ''),
    ],
    worlds: storm('ghost-owner', { servers: 3 }),
    within: 200,
  },
  {
    id: 'P4',
    what: 'a claimant skips the lease wait',
    edits: [edit('settings', 'return t.leaseMs * (1 + 3 * t.driftFraction);', 'return 0;')],
    worlds: storm('tight-lease'),
    within: 200,
  },
  {
    id: 'P5',
    what: 'a claimant waits half a lease',
    edits: [edit('settings', 'return t.leaseMs * (1 + 3 * t.driftFraction);', 'return t.leaseMs * 0.5;')],
    worlds: storm('tight-lease'),
    within: 500,
  },
  {
    id: 'P6',
    what: 'what the partner received counts as stored',
    edits: [edit('owner/mirror', 'this.#stored = higher(this.#stored, position.stored);', 'this.#stored = higher(this.#stored, position.received);')],
    within: 100,
  },
  {
    id: 'P7',
    what: 'releases what is stored, not what is on the medium',
    edits: [edit('copy', 'const limit = lower(through, this.#stored);', 'const limit = this.#stored;')],
    within: 100,
  },
  {
    id: 'P8',
    what: 'answers and issues without authority',
    edits: [edit('owner/tenure', 'return this.#authority.holds(this.#replica.clock.nowMs());', 'return true;')],
    worlds: storm('deposed'),
    within: 300,
  },
  {
    id: 'P9',
    what: 'a claim serves without replaying',
    edits: [edit('claim', 'const steps = planOf(gathered.operations);', 'const steps = planOf([]);')],
    within: 100,
  },
  {
    id: 'P10',
    what: 'the partner reports as stored what it only received',
    edits: [
      edit('partner', 'received: copy.log.last, stored: copy.stored, released: copy.log.base, gap,', 'received: copy.log.last, stored: copy.log.last, released: copy.log.base, gap,'),
    ],
    within: 100,
  },
  {
    id: 'P11',
    what: 'the partner takes operations across a gap',
    edits: [edit('partner', 'if (operation.sequence > next || room < 0) {', 'if (room < 0) {')],
    within: 300,
  },
  {
    id: 'P12',
    what: 'accepts beyond the stores’ capacity',
    edits: [
      edit('owner/tenure', 'if (this.#replica.copy.log.bytes + cost > this.partnership.mirrors.capacityBytes) {', 'if (this.#replica.copy.log.bytes + cost > this.partnership.mirrors.capacityBytes * 2) {'),
    ],
    within: 200,
  },
  {
    id: 'P13',
    what: 'the partner confirms the seal before its mark is durable',
    edits: [edit('partner', 'copy.mark([generation], true, sealed);', 'copy.mark([generation], true, () => undefined); sealed();')],
    within: 300,
  },
  {
    id: 'P16',
    what: 'swaps to suspended without draining',
    edits: [
      edit('owner/partnership', 'if (destager.running || destager.synced < confirmed || destager.synced < this.#tenure.ackable) return destager.poke();', ''),
    ],
    within: 200,
  },
  {
    id: 'P17',
    what: 'while a swap is unsettled only the old rule is obeyed',
    edits: [edit('register', 'return this.#pending !== null && test(this.#pending.next);', 'return false;')],
    worlds: storm('late-swap'),
    within: 500,
  },
  {
    id: 'P18',
    what: 'while a swap is unsettled only the new rule is obeyed',
    edits: [edit('register', 'if (this.#known !== null && test(this.#known)) return true;', 'if (this.#known !== null && this.#pending === null) return test(this.#known);')],
    within: 500,
  },
  {
    id: 'P19',
    what: 'a claim with nothing to replay does not sync before it serves',
    edits: [edit('claim', 'this.#writing = true; const steps = planOf(gathered.operations);', 'if (gathered.operations.length === 0) return this.#serve(gathered); this.#writing = true; const steps = planOf(gathered.operations);')],
    worlds: storm('alone'),
    within: 1500,
  },
  {
    id: 'P20',
    what: 'acknowledges by the rule of a record of another epoch',
    edits: [
      edit('owner/mirrors', 'return mirror.closing || this.#mayBeNamed(mirror);', 'return this.#mayBeNamed(mirror);'),
      edit('owner/mirrors', 'if (register.known?.epoch !== this.#tenure.epoch || this.#namesUnknown()) return NO_SEQUENCE;', 'if (this.#namesUnknown()) return NO_SEQUENCE;'),
      edit('owner/partnership', 'if (this.#over || register.known?.epoch !== this.#tenure.epoch) return; if (won)', 'if (this.#over) return; if (won)'),
      edit('owner/tenure', 'if (this.#over || this.#replica.register.known?.epoch !== this.epoch) return false;', 'if (this.#over) return false;'),
      edit('owner/tenure', 'if (this.#over || this.#replica.register.known?.epoch !== this.epoch) return; this.#ackable', 'if (this.#over) return; this.#ackable'),
    ],
    worlds: storm('split'),
    within: 1500,
  },
  {
    id: 'P21',
    what: 'the first store is not waited for',
    edits: [edit('owner/tenure', 'lower(this.#replica.copy.stored, this.partnership.mirrors.ackable(this.destager.synced))', 'lower(this.last, this.partnership.mirrors.ackable(this.destager.synced))')],
    within: 100,
  },
  {
    id: 'P22',
    what: 'in suspended, acknowledges before the medium has it',
    edits: [edit('owner/mirrors', "if (register.mayBe((record) => record.mirror === 'suspended')) mark = synced;", '')],
    within: 20,
  },
  {
    id: 'T1',
    what: 'a read shows an operation that only the owner has',
    edits: [edit('owner/reads', 'if (newest > this.#ackable) this.#waiting.push(newest, view);', 'if (newest < 0) this.#waiting.push(newest, view);')],
    within: 20,
  },
  {
    id: 'T1b',
    what: 'a read is overtaken on the medium by what is not yet stable',
    edits: [edit('owner/reads', 'if (newest <= this.#ackable) return this.#answerLater(view, send);', 'return this.#answerLater(view, send);')],
    within: 500,
  },
  {
    id: 'T2',
    what: 'the drain destages everything, confirmed or not',
    edits: [
      edit('owner/mirrors', 'if (this.#mustConfirm(mirror)) mark = lower(mark, higher(mirror.stored, this.#tenure.ackable));', 'if (mirror.phase === "never") mark = lower(mark, mirror.stored);'),
    ],
    within: 100,
  },
  {
    id: 'T3',
    what: 'a claim sets suspended at once',
    edits: [
      edit('record', "mirror: 'replaying', source: sourceOf(record),", "mirror: record.mirror === 'in-sync' ? 'suspended' : 'replaying', source: sourceOf(record),"),
      edit('record', "assert(record.mirror === 'replaying', 'only a replaying record becomes served');", ''),
    ],
    within: 50,
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
    within: 500,
  },
  {
    id: 'T5',
    what: 'replay writes old versions on its way to new ones',
    edits: [
      edit('claim', 'const steps = planOf(gathered.operations);', 'const steps = gathered.operations.flatMap((operation) => planOf([operation]));'),
      edit('medium-writer', 'const STEPS_OUT = 64;', 'const STEPS_OUT = 1;'),
    ],
    within: 1500,
  },
  {
    id: 'T6',
    what: 'a restarted owner carries on in its epoch',
    edits: [edit('record', 'epoch: (record.epoch + 1)', 'epoch: (record.epoch + (record.owner?.server === self.server ? 0 : 1))')],
    within: 100,
  },
  {
    id: 'T7',
    what: 'a refused connection counts as proof of death',
    edits: [
      edit('suspicion', 'if (this.#asking.has(holder.incarnation)) return;', "if (this.#peers.disconnected(holder.server)) return proven('refused'); if (this.#asking.has(holder.incarnation)) return;"),
    ],
    worlds: storm('tight-lease'),
    within: 300,
  },
  {
    id: 'T8',
    what: 'a claimant that restarts skips the wait, since the record names it',
    edits: [
      edit('claim', 'this.#unproven = record.holders.filter((h) => !this.#isSelf(h));', 'this.#unproven = base.owner?.server === self.server ? [] : record.holders.filter((h) => !this.#isSelf(h));'),
    ],
    worlds: storm('restarted-claimant'),
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
    within: 500,
  },
  {
    id: 'T10',
    what: 'the swap to in-sync does not wait for the owner’s own store',
    edits: [edit('owner/partnership', "candidate.phase === 'sealed' && this.#marked === candidate.generation)", "candidate.phase === 'sealed')")],
    within: 500,
  },
  {
    id: 'T11',
    what: 'operations between the snapshot and the settled swap are written through only',
    edits: [edit('owner/mirrors', 'return mirror.closing || this.#mayBeNamed(mirror);', 'return this.named === mirror;')],
    within: 200,
  },
  {
    id: 'T12',
    what: 'something reaches the medium before the owner’s own store has it',
    edits: [edit('owner/tenure', 'return lower(this.#replica.copy.stored, this.partnership.mirrors.destageable());', 'return this.partnership.mirrors.destageable();')],
    within: 200,
  },
  {
    id: 'T13',
    what: 'acknowledgements are not tied to store and generation',
    edits: [
      edit('owner/partnership', 'mirror.peer === from && mirror.generation === generation', 'mirror.peer === from'),
      edit('owner/mirror', 'if (this.store !== null && position.store !== this.store) return false;', ''),
    ],
    worlds: storm('partner-blinks'),
    within: 1000,
  },
  {
    id: 'T14',
    what: 'the swap compares the epoch only',
    edits: [],
    filter: (ports) => ({ ...ports, coordinator: epochOnly(ports.coordinator) }),
    worlds: storm('late-swap'),
    within: 1000,
  },
  {
    id: 'T15',
    what: 'the claimant’s own swap counts as authority',
    edits: [edit('claim', 'this.#epoch = record.epoch;', 'this.#epoch = record.epoch; this.authority.grant(this.#replica.clock.nowMs() + 10 * waitMs(this.#replica.timings));')],
    worlds: storm('deposed'),
    within: 500,
  },
  {
    id: 'T16',
    what: 'an empty store after a restart counts as complete',
    edits: [
      edit('record', 'const named = source.stores.some((s) => s.server === self.server && s.store === self.store); return (', 'const named = source.stores.some((s) => s.server === self.server); if (self.head === null) return named; return ('),
    ],
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
    within: 100,
  },
  {
    id: 'T18',
    what: 'a swap that timed out is taken for not done',
    edits: [
      edit('register', "if (outcome === 'done') this.#took(record, null); else this.#settle(pending);", "if (outcome === 'done') this.#took(record, null); else { this.#pending = null; pending.attempt.settled(false); this.#events.changed(); }"),
    ],
    worlds: storm('late-swap'),
    within: 1000,
  },
  {
    id: 'T19',
    what: 'a claim of an earlier process, landed late or not, is not noticed by its next one',
    edits: [
      edit('occasion', "? 'a claim of this server’s landed late'", '? null'),
      edit('occasion', ": 'this server restarted';", ': null;'),
    ],
    worlds: storm('given-up', { losses: 0, stores: 'journal' }),
    within: 3000,
  },
  {
    id: 'T20',
    what: 'a partner that blinked discards its copy while the record still says in-sync',
    edits: [edit('replica', 'this.recovered = copy.head !== null;', 'if (copy.head !== null) copy.setAside(() => undefined); this.recovered = false;')],
    within: 100,
  },
  {
    id: 'T21',
    what: 'the agreeing owner serves on',
    edits: [edit('handover', 'this.#agreeing = true;', "this.#agreeing = true; this.#agreed = true; this.#tell('agreed', null); return this.#tenure.unhold();")],
    within: 200,
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
    within: 50,
  },
  {
    id: 'T24',
    what: 'a failed sync is just repeated',
    edits: [edit('medium-writer', 'this.#medium.sync((fault) => {', 'this.#medium.sync((fault) => { if (fault !== null) { this.#out -= 1; return this.#sync(); }')],
    within: 300,
  },
  {
    id: 'T25',
    what: 'medium I/O that has not returned is not waited for',
    edits: [edit('owner/destager', 'if (this.#running || this.#stopped ||', 'if (this.#stopped ||')],
    within: 100,
  },
  {
    id: 'T26',
    what: 'a partner that the record no longer names still grants, and the owner takes it',
    edits: [
      edit('partner', 'granted: accepted && this.#grants(from, incarnation, line),', 'granted: true,'),
      edit('owner/partnership', 'const named = this.mirrors.named; return', 'const named = this.mirrors.named; if (from !== null) return true; return'),
    ],
    worlds: storm('retargeted', { servers: 3 }),
    within: 1000,
  },
  {
    id: 'T27',
    what: 'a read of the record counts from when it returned',
    edits: [edit('register', 'if (issuedAtMs !== null) this.#events.confirmed(record, issuedAtMs);', 'if (issuedAtMs !== null) this.#events.confirmed(record, this.#clock.nowMs());')],
    worlds: storm('late-reads'),
    within: 2000,
  },
  {
    id: 'T27b',
    what: 'the partner’s grant counts from when it arrived',
    edits: [edit('replica', 'this.#authority?.grant(sentAtMs);', 'this.#authority?.grant(this.clock.nowMs());')],
    worlds: storm('late-grants'),
    within: 3000,
  },
  {
    id: 'T29',
    what: 'a recovered log is taken for whole without asking the other holder',
    edits: [edit('gather', "this.#certain = this.#whole && (!this.#replica.recovered || this.#source.from === 'sole');", 'this.#certain = this.#whole;')],
    worlds: storm('rot', { losses: 0 }),
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
    within: 500,
  },
  {
    id: 'T32',
    what: 'a request whose connection is gone is admitted later',
    edits: [
      edit('owner/tenure', 'if (request.cancelled) this.#queue.shift();', 'if (request.offset < 0) this.#queue.shift();'),
      edit('owner/tenure', 'if (!request.cancelled) this.#accept(request);', 'this.#accept(request);'),
    ],
    worlds: SLUGGISH,
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
