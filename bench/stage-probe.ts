/**
 * Loaded into a server before anything else (`node --import`), notes when it receives bytes, writes to sockets and to its
 * journal, between two signals, and leaves the notes in a file. bench/stages.ts starts such servers and reads the files. All
 * processes of one machine share the clock.
 *
 * It knows what Node's sockets and files look like, and of Holdfast the two places at which an inlet's bytes arrive.
 */
import fs, { writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import { PiecesSender } from '../src/drivers/linux/send-pieces.ts';
import { DirectWriter } from '../src/drivers/store/journal/direct.ts';
import { FrameReader } from '../src/wire/link-frame.ts';
import { RequestParser } from '../src/wire/nbd-requests.ts';
import { Pieces } from '../src/wire/pieces.ts';

/** What is noted: of which sort, when (us), and how many bytes it was. */
export type Note = readonly [kind: 'received' | 'sent' | 'journal' | 'journaled', atUs: number, bytes: number];

const MOST_NOTES = 400_000;
/** Where to: a part of the address that it is imported by. */
const file = new URL(import.meta.url).searchParams.get('file');
const notes: Note[] = [];
let noting = false;

function note(kind: Note[0], bytes: number): void {
  if (noting && notes.length < MOST_NOTES) notes.push([kind, Number(process.hrtime.bigint()) / 1e3, bytes]);
}

type Method = (this: unknown, ...args: unknown[]) => unknown;

/** Has `before` called with the arguments of every call of the method. */
function watch(target: object, name: string, before: (args: unknown[]) => void): void {
  const method = Reflect.get(target, name) as Method;
  Reflect.set(target, name, function (this: unknown, ...args: unknown[]): unknown {
    before(args);
    return method.apply(this, args);
  });
}

function bytesOf(data: unknown): number {
  if (Buffer.isBuffer(data)) return data.length;
  if (!Array.isArray(data)) return 0;
  return data.reduce((sum: number, one: unknown) => sum + bytesOf(Buffer.isBuffer(one) ? one : chunkOf(one)), 0);
}

function chunkOf(entry: unknown): unknown {
  return typeof entry === 'object' && entry !== null && 'chunk' in entry ? entry.chunk : null;
}

if (file !== null) {
  watch(FrameReader.prototype, 'feed', ([chunk]) => note('received', bytesOf(chunk)));
  watch(RequestParser.prototype, 'push', ([chunk]) => note('received', bytesOf(chunk)));
  watch(net.Socket.prototype, 'push', ([chunk]) => {
    if (Buffer.isBuffer(chunk)) note('received', chunk.length);
  });
  watch(net.Socket.prototype, '_writeGeneric', ([, data]) => note('sent', bytesOf(data)));
  watch(PiecesSender.prototype, 'send', ([, pieces]) => {
    if (pieces instanceof Pieces) note('sent', pieces.bytes);
  });
  // A journal's small groups go past the kernel's cache, the floor's and larger ones through it.
  for (const [writer, name, pieces] of [
    [fs, 'writev', 1],
    [DirectWriter.prototype, 'write', 0],
  ] as const) {
    watch(writer, name, (args) => {
      note('journal', bytesOf(args[pieces]));
      const done = args.at(-1) as Method;
      args[args.length - 1] = function (this: unknown, ...results: unknown[]): unknown {
        note('journaled', Number(results[1] ?? 0));
        return done.apply(this, results);
      };
    });
  }
  syncBuiltinESMExports();
  // The first signal begins, the second one ends it.
  process.on('SIGUSR2', () => {
    noting = !noting;
    if (!noting) writeFileSync(file, notes.map((one) => JSON.stringify(one)).join('\n'));
  });
}
