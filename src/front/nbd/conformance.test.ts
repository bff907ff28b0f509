/** The NBD front end, against the conformance suite. */
import type { Epoch, VolumeName } from '../../base/names.ts';
import { MemoryService } from '../../../suites/memory-service.ts';
import { nbdSuite, type NbdTarget, SUITE_EXPORT_BYTES } from '../../../suites/nbd.ts';
import { NbdDoors } from './doors.ts';

async function serve(service: MemoryService): Promise<NbdTarget> {
  const volume = 'vm-disk' as VolumeName;
  const doors = new NbdDoors({ addresses: new Map([[volume, { host: '127.0.0.1', port: 0 }]]), log: () => {} });
  await new Promise<void>((resolve, reject) =>
    doors.open(volume, 1 as Epoch, service, (fault) => (fault === null ? resolve() : reject(fault))),
  );
  const port = doors.port(volume) ?? 0;
  return { host: '127.0.0.1', port, exportName: volume, close: async () => doors.close(volume, 'the suite has ended') };
}

nbdSuite('the NBD front end', { ours: true }, () => serve(new MemoryService({ sizeBytes: SUITE_EXPORT_BYTES })));

nbdSuite('the NBD front end on a service that takes 100 kB at once, answering backwards', { ours: true }, () => {
  const service = new MemoryService({ sizeBytes: SUITE_EXPORT_BYTES, maxRequestBytes: 100_000 });
  service.answerBackwards();
  return serve(service);
});
