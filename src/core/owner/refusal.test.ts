import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LARGEST_OBJECT_BYTES, NO_BYTES, NO_TIME } from '../../base/operation.ts';
import type { MediumVolume } from '../../ports/medium.ts';
import type { CallRequest, ModifyRequest } from '../../ports/service.ts';
import type { MediumTree } from '../../ports/tree.ts';
import { refusal } from './refusal.ts';

const MAX = 1 << 20;
const block = { tree: null, sizeBytes: () => 8192 } as unknown as MediumVolume;
const files = {
  tree: {} as MediumTree,
  sizeBytes: (target: string) => (target === '' ? 0 : LARGEST_OBJECT_BYTES),
} as unknown as MediumVolume;

const modify = (fields: Partial<ModifyRequest>): ModifyRequest => ({
  kind: 'write',
  target: 'f',
  offset: 0,
  length: 0,
  timeNs: NO_TIME,
  data: NO_BYTES,
  cancelled: false,
  done: () => undefined,
  ...fields,
});
const write = (offset: number, length: number, fields: Partial<ModifyRequest> = {}): ModifyRequest =>
  modify({ offset, length, data: Buffer.alloc(length), ...fields });
const call = (begin: CallRequest['begin']): CallRequest => ({
  kind: 'call',
  begin,
  cancelled: false,
  done: () => undefined,
});

test('a file grows as far as an object can; an image has its size', () => {
  assert.equal(refusal(write(LARGEST_OBJECT_BYTES - 10, 10), files, MAX), null);
  assert.match(refusal(write(LARGEST_OBJECT_BYTES - 10, 11), files, MAX)?.message ?? '', /beyond the end/);
  assert.equal(refusal(write(4096, 4096, { target: '' }), block, MAX), null);
  assert.match(refusal(write(4096, 4097, { target: '' }), block, MAX)?.message ?? '', /beyond the end/);
  assert.match(refusal(write(0, 1, { target: '' }), files, MAX)?.message ?? '', /beyond the end/);
});

test('sizes and times are of files, and are possible ones', () => {
  const truncate = (offset: number, fields: Partial<ModifyRequest> = {}): ModifyRequest =>
    modify({ kind: 'truncate', offset, ...fields });
  assert.equal(refusal(truncate(0), files, MAX), null);
  assert.equal(refusal(truncate(LARGEST_OBJECT_BYTES - 1), files, MAX), null);
  assert.equal(refusal(modify({ kind: 'stamp', timeNs: 2n ** 63n - 1n }), files, MAX), null);
  for (const wrong of [
    truncate(LARGEST_OBJECT_BYTES),
    truncate(-1),
    truncate(1.5),
    truncate(4, { length: 4 }),
    truncate(0, { target: '' }),
    truncate(0, { timeNs: -1n }),
    modify({ kind: 'stamp', offset: 1 }),
    modify({ kind: 'stamp', timeNs: 2n ** 63n }),
    write(0, 1, { timeNs: -1n }),
  ])
    assert.equal(
      refusal(wrong, files, MAX)?.kind,
      'refused',
      JSON.stringify(wrong, (_k, v) => String(v)),
    );
  assert.equal(refusal(truncate(0), block, MAX)?.kind, 'refused');
});

test('a call needs a tree; an answer from memory needs none', () => {
  assert.equal(
    refusal(
      call(() => undefined),
      files,
      MAX,
    ),
    null,
  );
  assert.equal(
    refusal(
      call(() => undefined),
      block,
      MAX,
    )?.kind,
    'refused',
  );
  assert.equal(refusal(call(null), block, MAX), null);
});
