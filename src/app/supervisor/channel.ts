/**
 * What a server's process tells the supervisor that started it, over the channel that Node keeps between the two: which
 * incarnation it is, and that it is up. Nothing is sent the other way: signals do.
 */
import { z } from 'zod';
import type { Incarnation } from '../../base/names.ts';

/** Set in the environment of a process whose parent is its supervisor. */
export const SUPERVISED = 'HOLDFAST_SUPERVISED';

const message = z.union([
  z.strictObject({
    holdfast: z.literal('alive'),
    incarnation: z
      .string()
      .regex(/^[0-9a-f]{32}$/)
      .transform((text) => text as Incarnation),
  }),
  z.strictObject({ holdfast: z.literal('up') }),
]);

/**
 * - `alive` the process holds the server's lock as this incarnation: when it ends, that incarnation has ended
 * - `up`    it takes part in the cluster
 */
export type ChildMessage = z.output<typeof message>;

/** Takes a message apart; null when it is none of ours. */
export function readChildMessage(value: unknown): ChildMessage | null {
  const read = message.safeParse(value);
  return read.success ? read.data : null;
}

/** This process has a supervisor. */
export const isSupervised = (): boolean => process.env[SUPERVISED] === '1' && process.send !== undefined;

/** Tells the supervisor, if there is one. One that is gone is not missed here. */
export function tellSupervisor(what: ChildMessage): void {
  if (!isSupervised() || !process.connected) return;
  process.send?.(what, undefined, undefined, () => undefined);
}
