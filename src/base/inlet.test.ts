import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { receiveFrom } from './inlet.ts';

/** Sends `rounds` of bytes, each when the last one was received, and returns what `receive` was given of them. */
async function conversation(
  rounds: readonly number[],
  receive: (chunk: Buffer) => boolean,
  prepare: (socket: net.Socket) => void = () => {},
): Promise<void> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address() as net.AddressInfo;
  const received = new Promise<void>((resolve, reject) => {
    server.on('connection', (socket) => {
      prepare(socket);
      let round = 0;
      let left = rounds[0] ?? 0;
      receiveFrom(socket, (chunk) => {
        left -= chunk.length;
        const kept = receive(chunk);
        if (left === 0) {
          round += 1;
          left = rounds[round] ?? -1;
          if (left < 0) socket.end();
          else socket.write('x');
        }
        return kept;
      });
      socket.on('end', resolve);
      socket.on('error', reject);
    });
  });
  const client = net.connect(address.port, '127.0.0.1');
  let sent = 0;
  const next = (): void => {
    const bytes = Buffer.alloc(rounds[sent] ?? 0, sent + 1);
    sent += 1;
    client.write(bytes);
  };
  client.on('data', next);
  client.on('connect', next);
  client.on('end', () => client.end());
  await received;
  client.destroy();
  await new Promise((resolve) => server.close(resolve));
}

test('what is kept lies one behind the other, what is not is read over', async () => {
  const chunks: { at: number; length: number; first: number | undefined; memory: ArrayBufferLike }[] = [];
  const kept = [true, true, false, true];
  await conversation([1000, 2000, 3000, 4000], (chunk) => {
    chunks.push({ at: chunk.byteOffset, length: chunk.length, first: chunk[0], memory: chunk.buffer });
    return kept[chunks.length - 1] === true;
  });
  assert.deepEqual(
    chunks.map(({ at, length, first }) => [at, length, first]),
    [
      [0, 1000, 1],
      [1000, 2000, 2],
      [3000, 3000, 3],
      [3000, 4000, 4],
    ],
  );
  assert.equal(new Set(chunks.map(({ memory }) => memory)).size, 1);
});

test('bytes that were kept are never changed, over many slabs', async () => {
  const slices: Buffer[] = [];
  await conversation(
    Array.from({ length: 40 }, () => 150_000),
    (chunk) => {
      slices.push(chunk);
      return true;
    },
  );
  let at = 0;
  for (const slice of slices) {
    for (let i = 0; i < slice.length; i += 997) assert.equal(slice[i], Math.floor((at + i) / 150_000) + 1);
    at += slice.length;
  }
  assert.equal(at, 40 * 150_000);
});

test('a socket whose insides are not known hands its chunks over all the same', async () => {
  let bytes = 0;
  await conversation(
    [1000, 2000],
    (chunk) => {
      bytes += chunk.length;
      return true;
    },
    (socket) => Object.defineProperty(Reflect.get(socket, '_handle'), 'useUserBuffer', { value: undefined }),
  );
  assert.equal(bytes, 3000);
});
