/**
 * Before a server takes part: is it the only one of its name, and its cluster the only one on its media? The protocol
 * takes a later incarnation of a name for proof that the earlier ones have ended. A lock keeps two processes from one
 * state directory; one that was started with another directory, on another machine, say, would pass it.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import type { Incarnation, ServerId } from '../base/names.ts';
import { CLUSTER_MARK, markCluster } from '../drivers/coordinator/cluster-mark.ts';
import type { Clock } from '../ports/clock.ts';
import type { Coordinator, ServerEntry } from '../ports/coordinator.ts';
import type { Config, VolumeConfig } from './config/load.ts';
import { settled } from './exit.ts';

/** Paces at which a living server writes its entry, for which it is watched. */
const PACES = 6;
/** Writings seen meanwhile that prove a life: one may have been on its way when its writer ended. */
const WRITINGS = 2;

export interface Watched {
  readonly coordinator: Coordinator;
  readonly self: ServerId;
  /** Incarnations that ended under the lock that this process holds: their entry is nobody's any more. */
  readonly ended: readonly Incarnation[];
  readonly clock: Clock;
  readonly entryMs: number;
}

/** Fault `refused` when the entry of this server's name is being written by somebody else. */
export async function checkOnlyOne({ coordinator, self, ended, clock, entryMs }: Watched): Promise<void> {
  const before = await entryOf(coordinator, self);
  if (before === null || ended.includes(before.incarnation)) return;
  await new Promise<void>((resolve) => clock.after(PACES * entryMs, resolve));
  const after = await entryOf(coordinator, self);
  if (after === null) return;
  if (after.incarnation === before.incarnation && after.counter - before.counter < WRITINGS) return;
  throw new Fault(
    'refused',
    `another server "${self}" is alive, with another state directory: its entry at the coordinator moves. ` +
      'Each server has a name of its own.',
  );
}

async function entryOf(coordinator: Coordinator, self: ServerId): Promise<ServerEntry | null> {
  try {
    return await settled<ServerEntry>((settle) => coordinator.readEntry(self, settle));
  } catch (error) {
    if (error instanceof Fault && error.kind === 'missing') return null;
    throw error;
  }
}

/** Fault `refused` when the records or the media, all of which were reached, belong to another cluster; those that belong to none are marked. */
export async function checkCluster(config: Config, volumes: readonly VolumeConfig[]): Promise<void> {
  const marks = new Set([join(config.coordinatorDirectory, CLUSTER_MARK)]);
  for (const { medium } of volumes) {
    if (medium.driver === 'directory') marks.add(join(medium.path, CLUSTER_MARK));
    // There is no place beside a device that other machines see.
    else if ((await stat(medium.path)).isFile()) marks.add(`${medium.path}.${CLUSTER_MARK}`);
  }
  for (const path of marks) await markCluster(path, config.cluster);
}
