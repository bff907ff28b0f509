import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Pieces } from '../../wire/pieces.ts';
import { PiecesSender } from './send-pieces.ts';

test('pieces of all kinds of memory leave in order, more of them than one call takes', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'holdfast-pieces-'));
  const file = path.join(folder, 'sent');
  const fd = openSync(file, 'w');
  const sender = new PiecesSender();
  const shared = Buffer.from(new SharedArrayBuffer(8192)).fill('s');
  const pieces = new Pieces();
  for (let i = 0; i < 1500; i += 1) {
    pieces.add(Buffer.from(`-${i}-`), 0, `-${i}-`.length);
    pieces.add(shared, i, i + (i % 7));
  }
  const whole = Buffer.concat(pieces.behind(0));
  assert.equal(sender.send(fd, pieces), whole.length);
  assert.equal(sender.send(fd, new Pieces()), 0);
  closeSync(fd);
  assert.deepEqual(readFileSync(file), whole);
  assert.equal(sender.send(fd, pieces), 0, 'a descriptor that is closed takes nothing');
  rmSync(folder, { recursive: true });
});

test('a socket whose other end does not read takes what fits; the rest goes the ordinary way', async () => {
  const server = createServer({ pauseOnConnect: true });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const accepted = new Promise<Socket>((take) => server.once('connection', take));
  const { port } = server.address() as AddressInfo;
  const socket = connect({ host: '127.0.0.1', port });
  await new Promise<void>((connected) => socket.once('connect', connected));
  const other = await accepted;

  const memory = Buffer.alloc(1 << 20);
  for (let at = 0; at < memory.length; at += 4) memory.writeUInt32LE(at, at);
  const pieces = new Pieces();
  for (let i = 0; i < 64; i += 1) pieces.add(memory, i, memory.length);
  const whole = Buffer.concat(pieces.behind(0));
  const fd: unknown = Reflect.get(Reflect.get(socket, '_handle') as object, 'fd');
  assert(typeof fd === 'number');
  const taken = new PiecesSender().send(fd, pieces);
  assert(taken > 0 && taken < whole.length, `${taken}`);
  for (const part of pieces.behind(taken)) socket.write(part);
  socket.end();

  const got: Buffer[] = [];
  other.on('data', (chunk) => got.push(chunk));
  other.resume();
  await new Promise<void>((ended) => other.once('end', ended));
  assert(Buffer.concat(got).equals(whole));
  other.destroy();
  await new Promise<void>((closed) => server.close(() => closed()));
});
