/**
 * Is what the clients saw of one sector the behaviour of a register? Linearizability of single reads and writes.
 *
 * For unique values the zones of Gibbons and Korach decide at once: each write with its reads is a cluster; between
 * the earliest end and the latest begin of a cluster (a forward zone) the register surely holds its value. Forward
 * zones must not overlap, and no cluster may lie within another's forward zone. Zeroes are not unique: where the
 * clusters do not settle the matter, a search over all orders does (bounded; what it cannot decide is counted).
 */
import { ZERO, type Era, type Read, type Write } from './model.ts';

interface Cluster {
  readonly tag: number;
  /** Earliest end of its operations. */
  end: number;
  /** Latest begin of its operations. */
  begin: number;
  writeBegin: number;
  reads: number;
}

export interface Verdict {
  readonly verdict: 'linearizable' | 'broken' | 'undecided';
  readonly text: string;
}

const FINE: Verdict = { verdict: 'linearizable', text: '' };

/** Judges one sector of one era. */
export function judgeSector(era: Era, sector: number): Verdict {
  const writes: Write[] = [];
  for (const w of era.writes) if (sector >= w.first && sector < w.first + w.count) writes.push(w);
  const reads: { readonly read: Read; readonly tag: number }[] = [];
  for (const read of era.reads) {
    const tag = read.tags[sector - read.first];
    if (tag !== undefined) reads.push({ read, tag });
  }
  const initial = era.initial[sector] as number;
  const zeroes = writes.some((w) => w.tag === ZERO);
  const byTag = new Map<number, Cluster>();
  byTag.set(initial, { tag: initial, end: era.beginMs, begin: era.beginMs, writeBegin: era.beginMs, reads: 0 });
  for (const w of writes) {
    if (w.tag === ZERO) continue;
    const bound = w.boundMs[sector - w.first] as number;
    byTag.set(w.tag, { tag: w.tag, end: bound, begin: w.beginMs, writeBegin: w.beginMs, reads: 0 });
  }
  for (const { read, tag } of reads) {
    if (tag === ZERO && zeroes) continue;
    const cluster = byTag.get(tag);
    if (cluster === undefined)
      return { verdict: 'broken', text: `sector ${sector} read as ${tag}, which nobody wrote` };
    if (read.endMs < cluster.writeBegin)
      return { verdict: 'broken', text: `sector ${sector} read ${tag} before it was written` };
    cluster.reads++;
    if (read.endMs < cluster.end) cluster.end = read.endMs;
    if (read.beginMs > cluster.begin) cluster.begin = read.beginMs;
  }
  const clash = zonesClash(
    [...byTag.values()].filter((c) => !(zeroes && c.tag === ZERO)),
    sector,
    writes,
  );
  if (clash !== null) return { verdict: 'broken', text: clash };
  if (!zeroes) return FINE;
  return search(initial, writes, reads, sector);
}

/** Two clusters that cannot both be, as a sentence; null when the zones allow an order. */
function zonesClash(clusters: readonly Cluster[], sector: number, writes: readonly Write[]): string | null {
  const acknowledged = new Set<number>();
  for (const w of writes) if (w.ackMs !== Infinity) acknowledged.add(w.tag);
  // A write that was neither answered nor seen need not have happened.
  const real = clusters.filter((c) => c.reads > 0 || acknowledged.has(c.tag));
  const forward = real.filter((c) => c.end < c.begin).sort((a, b) => a.end - b.end);
  for (let i = 1; i < forward.length; i++) {
    const a = forward[i - 1] as Cluster;
    const b = forward[i] as Cluster;
    if (b.end < a.begin) return describe(sector, a, b);
  }
  for (const c of real) {
    if (c.end < c.begin) continue;
    // Its zone runs from its latest begin to its earliest end.
    for (const f of forward) {
      if (f.end < c.begin && c.end < f.begin) return describe(sector, f, c);
      if (f.end >= c.end) break;
    }
  }
  return null;
}

function describe(sector: number, a: Cluster, b: Cluster): string {
  const zone = (c: Cluster) => `${c.tag} (settled ${c.end.toFixed(2)}, last seen or begun ${c.begin.toFixed(2)})`;
  return `sector ${sector}: ${zone(a)} and ${zone(b)} cannot be put in an order`;
}

/** The search gives up after so many states. */
const STATES = 20_000;

interface Op {
  readonly tag: number;
  readonly isRead: boolean;
  readonly begin: number;
  readonly end: number;
  /** It must take effect by its end: answered, or seen. Else it may stay without effect. */
  readonly must: boolean;
}

/** Exhaustive, event by event: a state is the register's value and which of the open operations have taken effect. */
function search(
  initial: number,
  writes: readonly Write[],
  reads: readonly { readonly read: Read; readonly tag: number }[],
  sector: number,
): Verdict {
  const ops: Op[] = [];
  const seenTags = new Set(reads.map((r) => r.tag));
  for (const w of writes) {
    // Neither answered nor ever read: it need not have happened, and assuming so can only help.
    if (w.ackMs === Infinity && !seenTags.has(w.tag)) continue;
    const end = w.boundMs[sector - w.first] as number;
    ops.push({ tag: w.tag, isRead: false, begin: w.beginMs, end, must: w.ackMs !== Infinity });
  }
  for (const { read, tag } of reads) ops.push({ tag, isRead: true, begin: read.beginMs, end: read.endMs, must: true });
  const events: { readonly at: number; readonly op: number; readonly isEnd: boolean }[] = [];
  ops.forEach((op, i) => {
    events.push({ at: op.begin, op: i, isEnd: false });
    if (op.end !== Infinity) events.push({ at: op.end, op: i, isEnd: true });
  });
  // At one moment begins come before ends: what touches may overlap.
  events.sort((a, b) => a.at - b.at || Number(a.isEnd) - Number(b.isEnd));
  let visited = 0;
  let states = new Map<string, State>();
  add(states, { value: initial, open: [] });
  for (const event of events) {
    const op = ops[event.op] as Op;
    const next = new Map<string, State>();
    if (!event.isEnd) {
      for (const s of states.values()) {
        if (op.isRead && op.tag === s.value) add(next, s);
        else add(next, { value: s.value, open: [...s.open, event.op] });
      }
    } else {
      for (const s of states.values()) visited += settle(s, event.op, ops, next);
      if (next.size === 0) {
        const what = op.isRead
          ? `the read of ${op.tag} from ${op.begin.toFixed(2)} to ${op.end.toFixed(2)}`
          : `write ${op.tag}`;
        return { verdict: 'broken', text: `sector ${sector}: no order of the writes explains ${what}` };
      }
    }
    if (visited > STATES) return { verdict: 'undecided', text: `sector ${sector}: more than ${STATES} states` };
    states = next;
  }
  return FINE;
}

interface State {
  readonly value: number;
  /** Operations begun that have not taken effect, ascending. */
  readonly open: readonly number[];
}

function add(states: Map<string, State>, state: State): void {
  states.set(`${state.value}:${state.open.join()}`, state);
}

/**
 * All states reachable from `state` in which operation `op` has taken effect (or, if it need not, is given up). The
 * order of what comes after it is left to later. Returns how many states were visited.
 */
function settle(state: State, op: number, ops: readonly Op[], into: Map<string, State>): number {
  const seen = new Map<string, State>();
  const work: State[] = [state];
  add(seen, state);
  const theOp = ops[op] as Op;
  while (work.length > 0) {
    const s = work.pop() as State;
    if (!s.open.includes(op)) {
      add(into, s);
      continue;
    }
    if (!theOp.must) add(into, { value: s.value, open: s.open.filter((o) => o !== op) });
    for (const o of s.open) {
      const candidate = ops[o] as Op;
      if (candidate.isRead) continue;
      const value = candidate.tag;
      // The write takes effect now; so do all open reads of its value: that can only help.
      const open = s.open.filter((p) => p !== o && !((ops[p] as Op).isRead && (ops[p] as Op).tag === value));
      const key = `${value}:${open.join()}`;
      if (seen.has(key) || seen.size > STATES) continue;
      const reached: State = { value, open };
      seen.set(key, reached);
      work.push(reached);
    }
  }
  return seen.size;
}
