/** The naive variants of the traps T17 to T32 (`mutation.ts`; those before are in `mutations-traps.ts`). */
import { type Mutation, SLUGGISH, edit, storm } from './mutation.ts';

export const LATER_TRAPS: readonly Mutation[] = [
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
    seeds: [1, 2],
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
    seeds: [1, 2],
    within: 100,
  },
  {
    id: 'T18b',
    what: 'a swap issued on the news of a version counts as settled by that news',
    edits: [
      edit(
        'register',
        'const pending = this.#pending; if (issuedAtMs !== null) this.#events.confirmed(record, issuedAtMs); if (!moved) return;',
        'if (issuedAtMs !== null) this.#events.confirmed(record, issuedAtMs); if (!moved) return; const pending = this.#pending;',
      ),
    ],
    worlds: storm('called-off'),
    seeds: [287, 346],
    within: 2000,
  },
  {
    id: 'T19',
    what: 'a claim of an earlier process, landed late or not, is not noticed by its next one',
    edits: [
      edit('occasion', "? { detector: null, why: 'a claim of this server’s landed late' }", '? null'),
      edit('occasion', ": { detector: 'process', why: 'this server restarted' };", ': null;'),
    ],
    worlds: storm('given-up', { losses: 0, stores: 'journal' }),
    seeds: [1, 31],
    within: 100,
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
    seeds: [6, 13],
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
    seeds: [19, 44],
    within: 100,
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
    seeds: [3, 5],
    within: 100,
  },
  {
    id: 'T23',
    what: 'what is mounted is taken for the medium',
    edits: [
      edit('claim', 'medium.open(volume, record.mediumId,', "medium.open(volume, 'any',"),
      edit('claim', 'medium.probe(register.known.mediumId,', "medium.probe('any',"),
    ],
    worlds: storm('no-mount'),
    seeds: [1, 2],
    within: 100,
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
    seeds: [128, 132],
    within: 500,
  },
  {
    id: 'T25b',
    what: 'a claim does not run the fence: what a frozen server had in hand lands later',
    edits: [edit('claim', 'if (victim === undefined) return this.#wait();', 'return this.#wait();')],
    worlds: storm('late-io'),
    seeds: [2, 20],
    within: 100,
  },
  {
    id: 'T25c',
    what: 'a fence that failed counts as done',
    edits: [edit('claim', "if (fault === null) { this.#why = '';", "if (fault !== undefined) { this.#why = '';")],
    worlds: storm('late-io'),
    seeds: [2, 34],
    within: 100,
  },
  {
    id: 'T25',
    what: 'medium I/O that has not returned is not waited for',
    edits: [edit('owner/destager', 'if (this.#running || this.#stopped ||', 'if (this.#stopped ||')],
    seeds: [1, 2],
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
    seeds: [540, 541],
    within: 2000,
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
    seeds: [294, 400],
    within: 1000,
  },
  {
    id: 'T27b',
    what: 'the partner’s grant counts from when it arrived',
    edits: [edit('replica', 'this.#authority?.grant(sentAtMs);', 'this.#authority?.grant(this.clock.nowMs());')],
    worlds: storm('late-grants'),
    seeds: [617, 649],
    within: 2000,
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
    seeds: [13, 31],
    within: 100,
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
    seeds: [2, 4],
    within: 100,
  },
  {
    id: 'T31',
    what: 'a release that was lost is not repeated',
    edits: [
      edit('owner/partnership', 'mirror.tick(); mirror.release();', 'mirror.tick();'),
      edit('partner', 'if (accepted) copy.release(line.released, line.acknowledged);', ''),
      edit('partner', 'copy.release(message.released, message.acknowledged); if (gap', 'if (gap'),
    ],
    seeds: [38, 68],
    within: 200,
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
    seeds: [81, 90],
    within: 300,
  },
];
