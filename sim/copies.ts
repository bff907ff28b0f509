/** Where a record says that a volume's content is: in stores, in the medium alone, in the medium with a log over it. */
import type { VolumeRecord } from '../src/ports/coordinator.ts';
import { tagOf, type LogState } from './disk.ts';
import { SECTOR, ZERO } from './model.ts';

/** The stores that the record names as copies. */
export function namedStores(record: VolumeRecord): string[] {
  switch (record.mirror) {
    case 'suspended':
      return [];
    case 'sole':
      return record.ownerStore === null ? [] : [record.ownerStore];
    case 'in-sync':
      return [record.ownerStore, record.partnerStore].filter((id) => id !== null);
    case 'replaying':
      return record.source === null ? [] : record.source.stores.map((s) => s.store);
  }
}

/** The record promises that the medium alone holds everything. */
export function onMediumAlone(record: VolumeRecord): boolean {
  return record.mirror === 'suspended' || (record.mirror === 'replaying' && record.source === null);
}

/** The sectors of a medium with a log over them. */
export function overlay(base: Uint32Array, log: LogState): Uint32Array {
  const content = base.slice();
  for (const o of log.operations) {
    const first = o.offset / SECTOR;
    for (let i = 0; i < o.length / SECTOR; i++)
      content[first + i] = o.data.length > 0 ? tagOf(o.data, i * SECTOR) : ZERO;
  }
  return content;
}
