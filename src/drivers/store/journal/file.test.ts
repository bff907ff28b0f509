/** The ring's file: what is written is there, on whichever way it went, and stays there beside what was cached. */
import assert from 'node:assert/strict';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { DIRECT_BYTES_MAX } from './direct.ts';
import { type DirectWrites, NodeJournalFile, openJournalFile } from './file.ts';

const PAGE = 4096;
const SIZE = 2 << 20;
const directory = mkdtempSync(join(tmpdir(), 'holdfast-journal-file-'));
after(() => rmSync(directory, { recursive: true }));

function fresh(name: string): string {
  const path = join(directory, name);
  writeFileSync(path, Buffer.alloc(SIZE));
  return path;
}

function opened(path: string): Promise<NodeJournalFile> {
  return new Promise((resolve, reject) =>
    openJournalFile(path, (fault, file) => (file === null ? reject(fault) : resolve(file))),
  );
}

/** `pages` pages of data that begin with `seed`, in pieces of odd lengths at odd places of shared and plain memory. */
function pieces(pages: number, seed: number): Buffer[] {
  const bytes = pages * PAGE;
  const all = Buffer.from(new SharedArrayBuffer(bytes + 3)).subarray(3);
  for (let i = 0; i < bytes; i += 1) all[i] = seed + i * 7;
  const cut = Math.floor(bytes / 3) + 1;
  return [Buffer.from(all.subarray(0, 256)), all.subarray(256, cut), Buffer.alloc(0), all.subarray(cut)];
}

const write = (file: NodeJournalFile, buffers: Buffer[], at: number): Promise<void> =>
  promisify((done: Parameters<NodeJournalFile['write']>[2]) => file.write(buffers, at, done))() as Promise<void>;
const close = (file: NodeJournalFile): Promise<void> => promisify(file.close.bind(file))() as Promise<void>;

test('small groups, large ones and several at once are all where they belong', async () => {
  const path = fresh('all');
  const file = await opened(path);
  const large = DIRECT_BYTES_MAX / PAGE + 1;
  const writes: [Buffer[], number][] = [
    [pieces(1, 1), 0],
    [pieces(DIRECT_BYTES_MAX / PAGE, 2), PAGE],
    [pieces(large, 3), PAGE + DIRECT_BYTES_MAX],
    [pieces(2, 4), 4 * PAGE + 2 * DIRECT_BYTES_MAX],
  ];
  await Promise.all(writes.map(([buffers, at]) => write(file, buffers, at)));
  for (const [buffers, at] of writes) {
    const expected = Buffer.concat(buffers);
    assert.ok(
      readFileSync(path)
        .subarray(at, at + expected.length)
        .equals(expected),
      `what was written at ${at}`,
    );
  }
  await close(file);
});

test('what was read before a write, or written through the cache, is never read instead of what was written last', async () => {
  const path = fresh('cached');
  const file = await opened(path);
  const found = Buffer.alloc(4 * PAGE);
  for (let round = 0; round < 6; round += 1) {
    const buffers = pieces(4, round);
    // Every third one is too large for the direct way, or would be: it goes through the cache.
    if (round % 3 === 2) await write(file, pieces(DIRECT_BYTES_MAX / PAGE + 1, 100 + round), 0);
    await write(file, buffers, PAGE);
    await promisify(file.read.bind(file))(found, PAGE);
    assert.ok(found.equals(Buffer.concat(buffers)), `round ${round}`);
  }
  await close(file);
});

/** A direct writer that does what a test wants of it, and counts. */
class Strange implements DirectWrites {
  asked = 0;
  closed = 0;
  readonly #answer: (pieces: readonly Buffer[]) => [NodeJS.ErrnoException | null, number];

  constructor(answer: (pieces: readonly Buffer[]) => [NodeJS.ErrnoException | null, number]) {
    this.#answer = answer;
  }
  takes(bytes: number, at: number): boolean {
    return bytes % PAGE === 0 && at % PAGE === 0;
  }
  write(buffers: readonly Buffer[], _at: number, done: (error: NodeJS.ErrnoException | null, n: number) => void): void {
    this.asked += 1;
    setImmediate(done, ...this.#answer(buffers));
  }
  close(done: (error: null) => void): void {
    this.closed += 1;
    setImmediate(done, null);
  }
}

const failure = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code });

test('a file system that refuses a direct write is not asked again, and nothing is lost', async () => {
  const path = fresh('refused');
  const strange = new Strange(() => [failure('EINVAL'), 0]);
  const file = new NodeJournalFile(path, openSync(path, 'r+'), SIZE, strange);
  assert.equal(file.isDirect, true);
  for (const at of [0, 8 * PAGE]) {
    const buffers = pieces(8, at);
    await write(file, buffers, at);
    assert.ok(
      readFileSync(path)
        .subarray(at, at + 8 * PAGE)
        .equals(Buffer.concat(buffers)),
    );
  }
  assert.equal(file.isDirect, false);
  assert.equal(strange.asked, 1);
  await close(file);
  assert.equal(strange.closed, 1);
});

test('a direct write that took less than asked for goes on where it ended; one that failed is a fault', async () => {
  const path = fresh('short');
  const fd = openSync(path, 'r+');
  const buffers = pieces(8, 5);
  // The second half is another multiple of a page, then one that only the cache takes.
  const counts = [4 * PAGE, 100];
  const strange = new Strange(() => [null, counts.shift() ?? 0]);
  const file = new NodeJournalFile(path, fd, SIZE, strange);
  await write(file, buffers, 0);
  assert.equal(strange.asked, 2);
  const rest = 4 * PAGE + 100;
  assert.ok(
    readFileSync(path)
      .subarray(rest, 8 * PAGE)
      .equals(Buffer.concat(buffers).subarray(rest)),
  );
  await assert.rejects(write(file, pieces(1, 1), 0), /nothing was written/);
  await close(file);
  const failing = new NodeJournalFile(path, openSync(path, 'r+'), SIZE, new Strange(() => [failure('EIO'), 0]));
  await assert.rejects(write(failing, pieces(1, 1), 0), /Writing to the journal .*EIO/);
  await close(failing);
});
