/**
 * What a volume's record may become, and who may claim. Pure: a record in, a record or a refusal out. The rules are
 * design sections 3 and 4; nothing else in the core builds a record.
 */
import { assert } from '../base/fault.ts';
import type { Epoch, Generation, Incarnation, MediumId, Sequence, ServerId, StoreId, Version } from '../base/names.ts';
import type { Holder, NamedStore, Source, VolumeRecord } from '../ports/coordinator.ts';
import type { LogHead } from '../ports/store.ts';

/** Who asks: this process and its store of the volume. */
export interface Self {
  readonly server: ServerId;
  readonly incarnation: Incarnation;
  readonly store: StoreId;
  /** The head of the log in that store; null when it holds none. */
  readonly head: LogHead | null;
}

/** Losses kept in the record. */
const LOSSES_KEPT = 8;

/** The record that the create command writes: nobody owns the volume, and the medium holds all there is. */
export function firstRecord(mediumId: MediumId, nonce: string): VolumeRecord {
  return {
    version: 1 as Version,
    nonce,
    mediumId,
    epoch: 0 as Epoch,
    owner: null,
    ownerStore: null,
    partner: null,
    partnerStore: null,
    generation: 0 as Generation,
    mirror: 'suspended',
    source: null,
    holders: [],
    replayed: null,
    losses: [],
    why: 'created',
  };
}

type Change = Partial<Omit<VolumeRecord, 'version' | 'nonce' | 'why'>>;

function next(record: VolumeRecord, nonce: string, why: string, change: Change): VolumeRecord {
  return { ...record, ...change, version: (record.version + 1) as Version, nonce, why };
}

/** The same record under another nonce: settles an earlier swap of unknown outcome without changing anything. */
export function unchanged(record: VolumeRecord, nonce: string): VolumeRecord {
  return next(record, nonce, record.why, {});
}

/** What a claim of `record` has to replay. */
export function sourceOf(record: VolumeRecord): Source | null {
  switch (record.mirror) {
    case 'in-sync':
    case 'sole': {
      const stores: NamedStore[] = [];
      if (record.owner && record.ownerStore) stores.push({ server: record.owner.server, store: record.ownerStore });
      if (record.mirror === 'in-sync' && record.partner && record.partnerStore)
        stores.push({ server: record.partner, store: record.partnerStore });
      return { epoch: record.epoch, generation: record.generation, stores, from: record.mirror };
    }
    case 'suspended':
      return null;
    case 'replaying':
      return record.source;
  }
}

/** True when the store may be replayed for `source`: named, of that life, and complete (I7, I10). */
export function isCopyOf(source: Source, self: Self): boolean {
  const named = source.stores.some((s) => s.server === self.server && s.store === self.store);
  return (
    named &&
    self.head !== null &&
    self.head.complete &&
    self.head.epoch === source.epoch &&
    self.head.generations.includes(source.generation)
  );
}

/** Null when the record's rule lets `self` claim, else why not. */
export function claimRefusal(record: VolumeRecord, self: Self): string | null {
  const source = sourceOf(record);
  if (source === null || isCopyOf(source, self)) return null;
  if (!source.stores.some((s) => s.server === self.server))
    return `the record is ${record.mirror} and names no store of this server`;
  if (!source.stores.some((s) => s.server === self.server && s.store === self.store))
    return `the store that the record names for this server is gone`;
  return 'this server’s copy is not a complete one of that life of the mirror';
}

/** Step 1 of every change of owner. */
export function claimed(record: VolumeRecord, self: Self, nonce: string, why: string): VolumeRecord {
  const me: Holder = { server: self.server, incarnation: self.incarnation };
  const old = record.owner !== null && record.owner.server !== self.server ? record.owner.server : record.partner;
  return next(record, nonce, why, {
    epoch: (record.epoch + 1) as Epoch,
    owner: me,
    ownerStore: self.store,
    partner: old === self.server ? null : old,
    partnerStore: null,
    generation: (record.generation + 1) as Generation,
    mirror: 'replaying',
    source: sourceOf(record),
    // Earlier incarnations of this server have ended: this one holds its exclusive lock.
    holders: [...record.holders.filter((h) => h.server !== me.server), me],
  });
}

/** A claim that gives up what the record's source may hold: only by an administrator's explicit command. */
export function claimedWithLoss(record: VolumeRecord, self: Self, nonce: string, loss: string): VolumeRecord {
  const source = sourceOf(record);
  return {
    ...claimed(record, self, nonce, loss),
    source: null,
    // Nothing of that epoch was replayed: a log of it that turns up later is set aside, not voided (trap T30).
    replayed: source === null ? record.replayed : { epoch: source.epoch, sequence: 0 as Sequence },
    losses: [...record.losses, loss].slice(-LOSSES_KEPT),
  };
}

/**
 * Step 5: everything is on the synced medium. `end` is where the replayed log ended if it may have missed something that
 * another log holds; null when it cannot have.
 */
export function served(record: VolumeRecord, self: Self, end: Sequence | null, nonce: string): VolumeRecord {
  assert(record.mirror === 'replaying', 'only a replaying record becomes served');
  return next(record, nonce, record.why, {
    mirror: 'suspended',
    source: null,
    holders: [{ server: self.server, incarnation: self.incarnation }],
    replayed: record.source === null || end === null ? record.replayed : { epoch: record.source.epoch, sequence: end },
  });
}

/** The owner goes on without a partner; the medium alone holds every acknowledged write. */
export function suspended(record: VolumeRecord, generation: Generation, nonce: string, why: string): VolumeRecord {
  assert(record.mirror === 'in-sync' || record.mirror === 'sole', 'only in-sync or sole becomes suspended');
  assert(generation > record.generation, 'generations grow');
  return next(record, nonce, why, { mirror: 'suspended', partnerStore: null, generation });
}

/** The owner goes on without a partner; its journal and the medium together hold every acknowledged write. */
export function sole(record: VolumeRecord, generation: Generation, nonce: string, why: string): VolumeRecord {
  assert(record.mirror === 'in-sync' || record.mirror === 'suspended', 'only in-sync or suspended becomes sole');
  assert(generation > record.generation, 'generations grow');
  return next(record, nonce, why, { mirror: 'sole', partnerStore: null, generation });
}

/** The mirror is whole (again): `partner`'s store holds everything acknowledged and not on the medium. */
export function inSync(record: VolumeRecord, partner: NamedStore, generation: Generation, nonce: string): VolumeRecord {
  assert(record.mirror === 'suspended' || record.mirror === 'sole' || record.mirror === 'in-sync', 'a served record');
  assert(generation > record.generation, 'generations grow');
  return next(record, nonce, `mirrored by ${partner.server}`, {
    mirror: 'in-sync',
    partner: partner.server,
    partnerStore: partner.store,
    generation,
  });
}

/** What may become of a log that the record can no longer name. */
export function fateOfLog(record: VolumeRecord, head: LogHead, last: Sequence, empty: boolean): 'void' | 'aside' {
  if (empty || record.replayed === null) return 'void';
  // Where a loss was accepted, also a copy that was never completed may be the best that is left.
  if (head.epoch === record.replayed.epoch && record.replayed.sequence === 0) return 'aside';
  if (!head.complete) return 'void';
  if (head.epoch === record.replayed.epoch) return last > record.replayed.sequence ? 'aside' : 'void';
  return head.epoch < record.replayed.epoch ? 'aside' : 'void';
}

/** True when `record` names that store as a copy that counts. */
export function names(record: VolumeRecord, server: ServerId, store: StoreId): boolean {
  const source = sourceOf(record);
  return source !== null && source.stores.some((s) => s.server === server && s.store === store);
}
