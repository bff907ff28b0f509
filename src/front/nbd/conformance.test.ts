/** The NBD front end, against the conformance suite. */
import { MemoryService } from '../../../suites/memory-service.ts';
import { nbdSuite, SUITE_EXPORT_BYTES } from '../../../suites/nbd.ts';
import { serveNbd } from '../../../suites/nbd-serve.ts';

nbdSuite('the NBD front end', { ours: true }, () => serveNbd(new MemoryService({ sizeBytes: SUITE_EXPORT_BYTES })));

nbdSuite('the NBD front end on a service that takes 100 kB at once and answers backwards', { ours: true }, () => {
  const service = new MemoryService({ sizeBytes: SUITE_EXPORT_BYTES, maxRequestBytes: 100_000 });
  service.answerBackwards();
  return serveNbd(service);
});
