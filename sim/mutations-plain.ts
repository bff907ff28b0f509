/** Plain mistakes: what a tired author could have written in place of a line of the core (`mutation.ts`). */
import { type Mutation, edit, storm } from './mutation.ts';

export const PLAIN: readonly Mutation[] = [
  {
    id: 'P1',
    what: 'acknowledges before the partner has it',
    edits: [
      edit(
        'owner/mirrors',
        'if (this.#mustConfirm(mirror)) mark = lower(mark, mirror.stored);',
        'if (mirror.phase === "never") mark = lower(mark, mirror.stored);',
      ),
    ],
    seeds: [1, 2],
    within: 100,
  },
  {
    id: 'P2',
    what: 'releases before the medium is synced',
    edits: [edit('medium-writer', 'if (!this.#syncing) this.#sync();', 'this.#events.finished(null, false);')],
    seeds: [1, 2],
    within: 100,
  },
  {
    id: 'P3',
    what: 'the partner checks neither epoch nor generation of what it mirrors',
    edits: [
      edit(
        'partner',
        'if (head.epoch !== life.epoch || !head.generations.includes(life.generation)) return false;',
        '',
      ),
      edit('partner', 'if (known !== null && known.epoch > life.epoch) return false;', ''),
      edit(
        'partner',
        'if (known !== null && known.epoch === life.epoch && known.owner?.server !== from) return false;',
        '',
      ),
    ],
    worlds: storm('ghost-owner', { servers: 3 }),
    seeds: [3, 11],
    within: 100,
  },
  {
    id: 'P4',
    what: 'a claimant skips the lease wait',
    edits: [edit('settings', 'return t.leaseMs * (1 + 3 * t.driftFraction);', 'return 0;')],
    worlds: storm('tight-lease'),
    seeds: [12, 17],
    within: 100,
  },
  {
    id: 'P5',
    what: 'a claimant waits half a lease',
    edits: [edit('settings', 'return t.leaseMs * (1 + 3 * t.driftFraction);', 'return t.leaseMs * 0.5;')],
    worlds: storm('tight-lease'),
    seeds: [17, 106],
    within: 100,
  },
  {
    id: 'P5b',
    what: 'the lease of a server that a fence keeps from the medium is not waited for',
    edits: [
      edit(
        'claim',
        'this.#fenced.add(victim); return this.#fence();',
        'this.#unproven = this.#unproven.filter((holder) => holder !== victim); return this.#fence();',
      ),
    ],
    worlds: storm('late-io'),
    seeds: [1544, 1828],
    within: 2000,
  },
  {
    id: 'P6',
    what: 'what the partner received counts as stored',
    edits: [
      edit(
        'owner/mirror',
        'this.#stored = higher(this.#stored, position.stored);',
        'this.#stored = higher(this.#stored, position.received);',
      ),
    ],
    seeds: [5, 6],
    within: 100,
  },
  {
    id: 'P7',
    what: 'releases what is stored, not what is on the medium',
    edits: [edit('copy', 'const limit = lower(through, this.#stored);', 'const limit = this.#stored;')],
    seeds: [1, 2],
    within: 100,
  },
  {
    id: 'P8',
    what: 'answers and issues without authority',
    edits: [edit('owner/tenure', 'return this.#authority.holds(this.#replica.clock.nowMs());', 'return true;')],
    worlds: storm('deposed'),
    seeds: [34, 50],
    within: 200,
  },
  {
    id: 'P9',
    what: 'a claim serves without replaying',
    edits: [edit('claim', 'const steps = planOf(gathered.operations);', 'const steps = planOf([]);')],
    seeds: [3, 15],
    within: 100,
  },
  {
    id: 'P10',
    what: 'the partner reports as stored what it only received',
    edits: [
      edit(
        'partner',
        'received: copy.log.last, stored: copy.stored, released: copy.log.base, gap,',
        'received: copy.log.last, stored: copy.log.last, released: copy.log.base, gap,',
      ),
    ],
    seeds: [6, 17],
    within: 100,
  },
  {
    id: 'P11',
    what: 'the partner takes operations across a gap',
    edits: [edit('partner', 'if (operation.sequence > next || room < 0) {', 'if (room < 0) {')],
    seeds: [52, 90],
    within: 200,
  },
  {
    id: 'P12',
    what: 'accepts beyond the stores’ capacity',
    edits: [
      edit(
        'owner/tenure',
        'if (this.#replica.copy.log.bytes + cost > this.partnership.mirrors.capacityBytes) {',
        'if (this.#replica.copy.log.bytes + cost > this.partnership.mirrors.capacityBytes * 2) {',
      ),
    ],
    seeds: [13, 29],
    within: 100,
  },
  {
    id: 'P13',
    what: 'the partner confirms the seal before its mark is durable',
    edits: [
      edit(
        'partner',
        'copy.mark([generation], true, sealed);',
        'copy.mark([generation], true, () => undefined); sealed();',
      ),
    ],
    seeds: [4, 34],
    within: 100,
  },
  {
    id: 'P16',
    what: 'swaps to suspended without draining',
    edits: [
      edit(
        'owner/partnership',
        'if (destager.running || destager.synced < confirmed || destager.synced < this.#tenure.ackable) return destager.poke();',
        '',
      ),
    ],
    seeds: [29, 79],
    within: 100,
  },
  {
    id: 'P17',
    what: 'while a swap is unsettled only the old rule is obeyed',
    edits: [edit('register', 'return this.#pending !== null && test(this.#pending.next);', 'return false;')],
    worlds: storm('late-swap'),
    seeds: [82, 101],
    within: 300,
  },
  {
    id: 'P18',
    what: 'while a swap is unsettled only the new rule is obeyed',
    edits: [
      edit(
        'register',
        'if (this.#known !== null && test(this.#known)) return true;',
        'if (this.#known !== null && this.#pending === null) return test(this.#known);',
      ),
    ],
    seeds: [8, 10],
    within: 100,
  },
  {
    id: 'P19',
    what: 'a claim with nothing to replay does not sync before it serves',
    edits: [
      edit(
        'claim',
        'this.#writing = true; const steps = planOf(gathered.operations);',
        'if (gathered.operations.length === 0) return this.#serve(gathered); this.#writing = true; const steps = planOf(gathered.operations);',
      ),
    ],
    worlds: storm('alone'),
    seeds: [127, 251],
    within: 100,
  },
  {
    id: 'P20',
    what: 'acknowledges by the rule of a record of another epoch',
    edits: [
      edit('owner/mirrors', 'return mirror.closing || this.#mayBeNamed(mirror);', 'return this.#mayBeNamed(mirror);'),
      edit(
        'owner/mirrors',
        'if (register.known?.epoch !== this.#tenure.epoch || this.#namesUnknown()) return NO_SEQUENCE;',
        'if (this.#namesUnknown()) return NO_SEQUENCE;',
      ),
      edit(
        'owner/partnership',
        'if (this.#over || register.known?.epoch !== this.#tenure.epoch) return; if (won)',
        'if (this.#over) return; if (won)',
      ),
      edit(
        'owner/tenure',
        'if (this.#over || this.#replica.register.known?.epoch !== this.epoch) return false;',
        'if (this.#over) return false;',
      ),
      edit(
        'owner/tenure',
        'if (this.#over || this.#replica.register.known?.epoch !== this.epoch) return; this.#ackable',
        'if (this.#over) return; this.#ackable',
      ),
    ],
    worlds: storm('split'),
    seeds: [56, 65],
    within: 200,
  },
  {
    id: 'P21',
    what: 'the first store is not waited for',
    edits: [
      edit(
        'owner/tenure',
        'lower(this.#replica.copy.stored, this.partnership.mirrors.ackable(this.destager.synced))',
        'lower(this.last, this.partnership.mirrors.ackable(this.destager.synced))',
      ),
    ],
    seeds: [5, 13],
    within: 100,
  },
  {
    id: 'P22',
    what: 'in suspended, acknowledges before the medium has it',
    edits: [edit('owner/mirrors', "if (register.mayBe((record) => record.mirror === 'suspended')) mark = synced;", '')],
    seeds: [3, 4],
    within: 100,
  },
];
