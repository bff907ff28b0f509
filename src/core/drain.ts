/**
 * A drain on an administrator's wish: everything that the owner had accepted by then is written to the medium and
 * synced, while clients are served on. What they write meanwhile is not waited for.
 */
import { Fault } from '../base/fault.ts';
import type { Sequence } from '../base/names.ts';
import type { Replica } from './replica.ts';

export interface DrainReport {
  /** What was not yet on the medium when the drain began. */
  readonly bytes: number;
}

/** Told of each look while something is left, and of the end. */
type Progress = (text: string) => void;
type Ended = (fault: Fault | null, report: DrainReport | null) => void;

/** Begins the drain. Faults: `refused` (not the owner, or no more), `io` (the medium takes nothing for too long). */
export function drain(replica: Replica, progress: Progress, ended: Ended): void {
  const { tenure, self } = replica;
  if (tenure === null)
    return ended(new Fault('refused', `${self.server} does not own the volume "${replica.volume}"`), null);
  const target = tenure.last;
  const bytes = replica.copy.log.bytes;
  if (tenure.destager.synced < target) progress(`${bytes} bytes to go`);
  const look = (seen: Sequence, sinceMs: number): void => {
    if (replica.tenure !== tenure)
      return ended(new Fault('refused', `${self.server} does not own the volume "${replica.volume}" any more`), null);
    const { synced } = tenure.destager;
    if (synced >= target) return ended(null, { bytes });
    tenure.destager.poke();
    const nowMs = replica.clock.nowMs();
    const { handoverMs, heartbeatMs } = replica.timings;
    if (synced === seen && nowMs - sinceMs >= handoverMs)
      return ended(new Fault('io', `nothing of it reached the medium for ${handoverMs / 1_000} s`), null);
    if (synced !== seen) progress(`${replica.copy.log.bytes} bytes to go`);
    replica.clock.after(heartbeatMs, () => (synced === seen ? look(seen, sinceMs) : look(synced, nowMs)));
  };
  look(tenure.destager.synced, replica.clock.nowMs());
}
