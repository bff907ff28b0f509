/** Status of one volume at one server, gathered from the replica. Reads only. */
import type { Replica } from './replica.ts';
import type { Role, VolumeStatus } from './status.ts';

const NO_COUNTS = { acknowledged: 0, mirrored: 0, destagedOperations: 0, destagedWrites: 0 };

export function statusOf(replica: Replica): VolumeStatus {
  const { copy, tenure, register } = replica;
  const record = register.known;
  return {
    volume: replica.volume,
    role: roleOf(replica),
    serving: replica.serving,
    why: replica.why ?? (tenure !== null && !tenure.mayAct() ? 'no authority at the moment' : null),
    version: record?.version ?? (0 as never),
    owner: record?.owner?.server ?? null,
    partner: record?.partner ?? null,
    epoch: record?.epoch ?? (0 as never),
    generation: record?.generation ?? (0 as never),
    mirror: record?.mirror ?? 'unknown',
    mirrorWhy: record?.why ?? register.fault?.message ?? 'the record has not been read yet',
    undestagedBytes: copy.log.bytes,
    atRiskBytes: tenure !== null && record?.mirror !== 'in-sync' ? copy.log.bytes : 0,
    oldestMs: tenure?.oldestMs() ?? null,
    waitingRequests: tenure?.waitingRequests ?? 0,
    takeoverRefusal: replica.planned.takeoverRefusal(),
    takeoverRefusals: replica.planned.takeoverRefusals(),
    handoverRefusals: replica.planned.handoverRefusals(),
    degraded: replica.settings.degraded,
    reads: replica.settings.reads,
    giveback: replica.settings.giveback,
    brake: { handover: replica.brake.handover(), giveback: replica.brake.giveback() },
    finding: findingOf(replica),
    loss: replica.loss.lost(),
    losses: record?.losses ?? [],
    store: {
      id: copy.store.id,
      kind: copy.store.kind,
      capacityBytes: copy.store.capacityBytes,
      usedBytes: copy.log.bytes,
    },
    aside: copy.store.aside,
    counts: { ...(tenure?.counts ?? NO_COUNTS), reads: tenure?.reads ?? 0 },
  };
}

function findingOf({ finding, clock }: Replica): VolumeStatus['finding'] {
  if (finding === null) return null;
  const { detector, why, atMs } = finding;
  return { detector, why, msAgo: clock.nowMs() - atMs };
}

function roleOf(replica: Replica): Role {
  const { tenure, claim, register, self, copy } = replica;
  if (tenure !== null) return 'owner';
  if (claim !== null) return 'claimant';
  const record = register.known;
  if (record?.partner === self.server && record.partnerStore === copy.store.id) return 'partner';
  if (record !== null && copy.head?.epoch === record.epoch && !copy.head.complete) return 'resyncing';
  return 'none';
}
