/** The event history: bounded, in order, and still there after the process that told it. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { History, HISTORY_FILE } from './history.ts';

function directory(t: { after(run: () => void): void }): string {
  const made = mkdtempSync(join(tmpdir(), 'holdfast-history-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

const untilWritten = async (file: string, text: string): Promise<void> => {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    try {
      if (readFileSync(file, 'utf8').includes(text)) return;
    } catch {
      // Not there yet.
    }
    await pause(10);
  }
  assert.fail(`${text} was not written`);
};

test('what one process told, the next one knows, numbered on', async (t) => {
  const where = directory(t);
  const first = new History((why) => assert.fail(why));
  first.add('server.start', 'info', {});
  first.keepIn(where);
  first.add('claim.begin', 'info', { volume: 'one', why: 'nobody has owned it' });
  first.add('destaged', 'debug', { through: 7 });
  first.add('nbd.connect', 'info', { client: 'of somebody' });
  await untilWritten(join(where, HISTORY_FILE), 'claim.begin');
  appendFileSync(join(where, HISTORY_FILE), '{"number":3,"torn');

  const second = new History(() => undefined);
  second.add('server.start', 'info', {});
  second.keepIn(where);
  assert.deepEqual(
    second.after(0).map(({ number, event }) => `${number} ${event}`),
    ['1 server.start', '2 claim.begin', '3 server.start'],
  );
  assert.deepEqual(second.after(1, 1)[0]?.event, 'server.start', 'the newest ones');
  assert.deepEqual(second.after(1)[0]?.fields, { volume: 'one', why: 'nobody has owned it' });
});

test('memory and file are bounded', async (t) => {
  const where = directory(t);
  const history = new History(assert.fail);
  history.keepIn(where);
  const filler = 'x'.repeat(1_000);
  for (let round = 0; round < 16; round += 1) {
    for (let index = 0; index < 200; index += 1) history.add('path.down', 'warn', { detail: filler, round });
    history.add('mark', 'info', { round });
    await untilWritten(join(where, HISTORY_FILE), `"round":${round}`);
  }
  assert.ok(history.after(0).length <= 1_000, 'at most a thousand are given out');
  assert.ok(statSync(join(where, HISTORY_FILE)).size < 3 << 20);
  assert.ok(statSync(join(where, `${HISTORY_FILE}.1`)).size < 3 << 20);
});

test('a directory that cannot be written to is told once, and nothing else happens', async () => {
  const told: string[] = [];
  const history = new History((why) => told.push(why));
  history.keepIn('/nowhere/at/all');
  history.add('server.start', 'info', {});
  for (let attempt = 0; told.length === 0 && attempt < 500; attempt += 1) await pause(5);
  history.add('server.started', 'info', {});
  history.flush();
  await pause(20);
  assert.equal(told.length, 1);
  assert.equal(history.after(0).length, 2);
});
