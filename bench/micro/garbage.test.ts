import assert from 'node:assert/strict';
import { test } from 'node:test';
import { costOf } from './measure.ts';
import { PIECES } from './pieces.ts';

// Bytes, not times: they are the same on every machine, and garbage is what the hot path pays for later.
for (const piece of PIECES) {
  test(`garbage of one write, ${piece.name}: at most ${piece.mostBytes} bytes`, async () => {
    const { bytes } = await costOf(piece);
    assert.ok(bytes <= piece.mostBytes, `${bytes.toFixed(0)} bytes`);
  });
}
