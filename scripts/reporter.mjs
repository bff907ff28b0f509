/**
 * What `npm test` prints: Node's own report, and before its closing lines which tests failed and which were not run and
 * why, so that nobody has to search for them. A reporter of node:test, named by scripts/test.mjs.
 */
import path from 'node:path';
import { Readable } from 'node:stream';
import { spec, tap } from 'node:test/reporters';

/** The first of the closing lines. */
const CLOSING = /^tests \d+$/;

export default async function* report(source) {
  const events = withLists(source);
  yield* process.stdout.isTTY ? Readable.from(events).compose(new spec()) : tap(events);
}

/** The same events, with diagnostics of our own put before the closing ones. */
async function* withLists(source) {
  const failed = [];
  const notRun = new Map();
  let closing = false;
  for await (const event of source) {
    const { type, data } = event;
    if (type === 'test:fail' && isReported(data)) failed.push(title(data));
    if (type === 'test:pass' && typeof data.skip === 'string' && data.skip !== '') {
      const names = notRun.get(data.skip) ?? [];
      names.push(title(data));
      notRun.set(data.skip, names);
    }
    if (type === 'test:diagnostic' && data.nesting === 0 && !closing && CLOSING.test(data.message)) {
      closing = true;
      for (const line of lists(failed, notRun)) yield { type, data: { ...data, message: line } };
    }
    yield event;
  }
}

/** A test that failed by itself, not only because one within it did. */
function isReported(data) {
  return data.details?.error?.failureType !== 'subtestsFailed';
}

function title(data) {
  return data.file === undefined ? data.name : `${path.relative(process.cwd(), data.file)}: ${data.name}`;
}

function* lists(failed, notRun) {
  if (notRun.size > 0) {
    yield 'not run here:';
    for (const [reason, names] of notRun) {
      yield `  ${reason}`;
      for (const name of names) yield `    - ${name}`;
    }
  }
  if (failed.length > 0) {
    yield 'failed:';
    for (const name of failed) yield `    - ${name}`;
  }
}
