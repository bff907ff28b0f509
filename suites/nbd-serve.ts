/** Serves a volume over NBD in this process, for tests. */
import type { Epoch, VolumeName } from '../src/base/names.ts';
import { NbdDoors } from '../src/front/nbd/doors.ts';
import { DEFAULT_NBD_LIMITS, type NbdLimits } from '../src/front/nbd/limits.ts';
import type { VolumeService } from '../src/ports/service.ts';
import type { NbdTarget } from './nbd.ts';

export const EXPORT_NAME = 'vm-disk' as VolumeName;

export interface NbdServing extends NbdTarget {
  readonly doors: NbdDoors;
  /** What was logged, one line an event, oldest first. */
  readonly lines: readonly string[];
}

/** Opens doors for `service` on 127.0.0.1, at a port that the system chooses unless one is given. */
export async function serveNbd(service: VolumeService, limits: Partial<NbdLimits> = {}, port = 0): Promise<NbdServing> {
  const lines: string[] = [];
  const doors = new NbdDoors({
    addresses: new Map([[EXPORT_NAME, { host: '127.0.0.1', port }]]),
    log: (event, fields) => lines.push(`${event} ${JSON.stringify(fields)}`),
    limits: { ...DEFAULT_NBD_LIMITS, ...limits },
  });
  await new Promise<void>((resolve, reject) =>
    doors.open(EXPORT_NAME, 1 as Epoch, service, (fault) => (fault === null ? resolve() : reject(fault))),
  );
  return {
    doors,
    lines,
    host: '127.0.0.1',
    port: doors.port(EXPORT_NAME) ?? 0,
    exportName: EXPORT_NAME,
    close: async () => doors.close(EXPORT_NAME, 'the test has ended'),
  };
}
