import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault } from '../../base/fault.ts';
import { CLUSTER_MARK, markCluster } from './cluster-mark.ts';

const isFault = (kind: string) => (error: unknown) => error instanceof Fault && error.kind === kind;

test('the first cluster marks it, its servers pass, another one is refused and changes nothing', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-mark-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, CLUSTER_MARK);
  await Promise.all([markCluster(path, 'one'), markCluster(path, 'one'), markCluster(path, 'one')]);
  const content = readFileSync(path, 'utf8');
  await assert.rejects(markCluster(path, 'two'), /belongs to the cluster "one".*"two"/);
  await markCluster(path, 'one');
  assert.equal(readFileSync(path, 'utf8'), content);
});

test('of two that come at once one is refused', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-mark-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, CLUSTER_MARK);
  const both = await Promise.allSettled([markCluster(path, 'one'), markCluster(path, 'two')]);
  assert.deepEqual(both.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
});

test('a damaged mark is refused, and a directory that is not there gets none', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-mark-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, CLUSTER_MARK);
  for (const content of ['', '{', '{"format":"holdfast-cluster-1"}', '[]']) {
    writeFileSync(path, content);
    await assert.rejects(markCluster(path, 'one'), isFault('corrupt'), content);
  }
  await assert.rejects(markCluster(join(directory, 'absent', CLUSTER_MARK), 'one'), isFault('missing'));
});
