/**
 * The plan of a destage or a replay: of each range the newest version only, as few and as large writes as the ranges
 * allow (design 2.4, 4.4; trap T5: no intermediate state is ever written).
 */
import { LARGEST_OBJECT_BYTES, OperationKind } from '../../base/operation.ts';
import type { Operation } from '../../base/operation.ts';
import type { MediumVolume } from '../../ports/medium.ts';
import type { Done } from '../../base/fault.ts';
import { Newest } from './newest.ts';

/** Adjacent data is written in one piece up to this size. */
const RUN_BYTES = 1 << 20;
/** Adjacent pieces go into one write up to this number (an iovec has at most 1,024). */
const RUN_PIECES = 512;

/**
 * One modification of the medium. Steps of one plan never overlap, so their order does not matter; but for the stamps,
 * which come last: a file's time is set when all of its other steps have returned.
 */
export type Step =
  | {
      readonly kind: 'write';
      readonly target: string;
      readonly offset: number;
      length: number;
      readonly data: Buffer[];
    }
  | { readonly kind: 'zero' | 'trim'; readonly target: string; readonly offset: number; length: number }
  /** The file ends at `offset`, exactly. */
  | { readonly kind: 'resize'; readonly target: string; readonly offset: number; readonly length: number }
  | {
      readonly kind: 'stamp';
      readonly target: string;
      readonly offset: 0;
      readonly length: 0;
      readonly timeNs: bigint;
    };

/** The steps that bring the medium to the state after `operations` (in order). */
export function planOf(operations: Iterable<Operation>): Step[] {
  const newest = new Newest();
  for (const operation of operations) newest.add(operation);
  return stepsOf(newest);
}

/** The steps that bring the medium to the state after the operations that were added to `newest`. */
export function stepsOf(newest: Newest): Step[] {
  const steps: Step[] = [];
  for (const sweep of newest.sweeps())
    while (sweep.next()) {
      const { from, to, operation } = sweep;
      const { target, kind } = operation;
      const end = kind === OperationKind.truncate ? Math.min(to, newest.pending(target)?.exactBytes ?? 0) : to;
      if (from < end) extend(steps, target, from, end, operation);
    }
  for (const [target, { exactBytes }] of newest.files())
    if (exactBytes !== null)
      steps.push({ kind: 'resize', target, offset: exactBytes, length: LARGEST_OBJECT_BYTES - exactBytes });
  for (const [target, { timeNs }] of newest.files())
    steps.push({ kind: 'stamp', target, offset: 0, length: 0, timeNs });
  return steps;
}

function extend(steps: Step[], target: string, from: number, to: number, operation: Operation): void {
  const last = steps[steps.length - 1];
  const adjacent = last !== undefined && last.target === target && last.offset + last.length === from;
  if (operation.kind === OperationKind.write) {
    const { offset, data } = operation;
    const piece = to - from === data.length ? data : data.subarray(from - offset, to - offset);
    if (adjacent && last.kind === 'write' && last.length < RUN_BYTES && last.data.length < RUN_PIECES) {
      last.data.push(piece);
      last.length += piece.length;
    } else steps.push({ kind: 'write', target, offset: from, length: piece.length, data: [piece] });
    return;
  }
  // What a truncate cleared below the final size is a hole again, as it is on a file system.
  const kind = operation.kind === OperationKind.zero ? 'zero' : 'trim';
  if (adjacent && last.kind === kind) last.length += to - from;
  else steps.push({ kind, target, offset: from, length: to - from });
}

/** Issues one step. `punch`: a trim may give room back. */
export function issue(medium: MediumVolume, step: Step, punch: boolean, done: Done): void {
  switch (step.kind) {
    case 'write':
      return medium.write(step.target, step.offset, step.data, done);
    case 'zero':
    case 'trim':
      return medium.zero(step.target, step.offset, step.length, step.kind === 'trim' && punch, done);
    case 'resize':
      return medium.resize(step.target, step.offset, done);
    case 'stamp':
      return medium.stamp(step.target, step.timeNs, done);
  }
}
