/**
 * Door and program together, on a volume in memory, against arguments of every kind, right, wrong and damaged: each call
 * is answered once, by a result that the procedure can have or by GARBAGE_ARGS, and the next client is served as if
 * nothing had been.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import type { Epoch, VolumeName } from '../../base/names.ts';
import { decodeArguments, decodeResult, encodeArguments, procedureNumber } from '../../wire/nfs/table.ts';
import {
  type NfsArguments,
  NFS_PROGRAM,
  NFS_VERSION,
  NfsStatus,
  PROCEDURES,
  type ProcedureName,
} from '../../wire/nfs/types.ts';
import { EXPORT, mode } from '../../../suites/files-caller.ts';
import { MemoryFiles } from '../../../suites/memory-files.ts';
import { NfsClient } from '../../../suites/nfs-client.ts';
import { ARGUMENTS } from '../../../suites/nfs-words.ts';
import { NfsDoors } from './doors.ts';
import { createFilesProgram } from './files-program.ts';

const VOLUME = 'files' as VolumeName;

async function served(t: TestContext): Promise<{ doors: NfsDoors; port: number }> {
  const address = { host: '127.0.0.1', port: 0 };
  const exports = new Map([[VOLUME, { ...EXPORT, address }]]);
  const doors = new NfsDoors({ exports, program: createFilesProgram, log: () => {} });
  t.after(() => doors.close(VOLUME, 'the test is over'));
  await new Promise<void>((resolve, reject) => {
    doors.open(VOLUME, 1 as Epoch, new MemoryFiles(), (fault) => (fault === null ? resolve() : reject(fault)));
  });
  const port = doors.port(VOLUME);
  assert.ok(port !== null);
  return { doors, port };
}

/** The twin keeps whole files in memory: sizes that would be allowed stay small here. */
const SMALL_BYTES = 100_000;
const BEYOND_BYTES = 2 ** 44;
const tame = (bytes: number): number => (bytes < BEYOND_BYTES ? bytes % SMALL_BYTES : bytes);

/** The same arguments with handles of objects that there are, half of the names out of few, and sizes that the twin can bear. */
function real(args: NfsArguments, handles: readonly Buffer[], pick: number): NfsArguments {
  const copy = structuredCloneOf(args);
  if ('name' in copy && pick % 2 === 0) Reflect.set(copy, 'name', Buffer.from(`name ${pick % 5}`));
  for (const key of ['handle', 'directory'] as const) {
    if (key in copy) Reflect.set(copy, key, handles[pick % handles.length]);
    pick = Math.floor(pick / 3);
  }
  for (const key of ['from', 'to'] as const) {
    const at: unknown = Reflect.get(copy, key);
    if (copy.procedure === 'rename' && typeof at === 'object' && at !== null) {
      Reflect.set(at, 'directory', handles[pick % handles.length]);
      pick = Math.floor(pick / 3);
    }
  }
  return copy;
}

/** A deep copy that keeps buffers as they are, sizes tamed on the way. */
function structuredCloneOf<T>(value: T, key = ''): T {
  if (typeof value === 'number' && (key === 'offset' || key === 'sizeBytes')) return tame(value) as T;
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value;
  const entries = Object.entries(value).map(([name, each]: [string, unknown]) => [name, structuredCloneOf(each, name)]);
  return Object.fromEntries(entries) as T;
}

/** Damage that leaves sizes alone where those would be carried out. */
const SIZED: ReadonlySet<ProcedureName> = new Set(['write', 'setattr', 'create', 'mkdir', 'symlink', 'mknod']);

function damaged(procedure: ProcedureName, bytes: Buffer, at: number, byte: number): Buffer {
  if (bytes.length === 0) return bytes;
  const out = Buffer.from(bytes);
  switch (at % 4) {
    case 0:
      return out.subarray(0, at % (out.length + 1));
    case 1:
      return Buffer.concat([out, Buffer.alloc(4 + (at % 40), byte)]);
    case 2:
      out[SIZED.has(procedure) ? at % 4 : at % out.length] = byte;
      return out;
    default:
      return out;
  }
}

/** The root, and a file in it. */
async function firstHandles(port: number): Promise<Buffer[]> {
  const client = await NfsClient.connect(port);
  const root = await client.root('/files');
  const how = { mode: 'unchecked', attributes: mode(0o644) } as const;
  const made = await client.call<'create'>({ procedure: 'create', directory: root, name: Buffer.from('file'), how });
  assert.ok(made.status === NfsStatus.ok && made.handle !== null);
  client.destroy();
  return [root, made.handle];
}

const action = fc.record({
  procedure: fc.constantFrom(...PROCEDURES),
  real: fc.nat(200),
  damage: fc.option(fc.record({ at: fc.nat(), byte: fc.nat(255) }), { freq: 3 }),
  seed: fc.nat(),
});

test('every call of any kind is answered once, and others are served', { timeout: 60_000 }, async (t) => {
  const { doors, port } = await served(t);
  const handles = await firstHandles(port);
  const spoken = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 30 }), async (actions) => {
      const client = await NfsClient.connect(port);
      const answers = actions.map(async ({ procedure, real: pick, damage, seed }) => {
        const [drawn] = fc.sample(ARGUMENTS[procedure], { seed, numRuns: 1 });
        assert.ok(drawn !== undefined);
        const args = pick < 150 ? real(drawn, handles, pick) : structuredCloneOf(drawn);
        const whole = encodeArguments(args);
        const bytes = damage === null ? whole : damaged(procedure, whole, damage.at, damage.byte);
        const number = procedureNumber(procedure);
        const { header, result } = await client.raw(NFS_PROGRAM, NFS_VERSION, number, bytes);
        const isValid = decodeArguments(procedure, bytes) !== null || procedure === 'null';
        assert.equal(header.kind, isValid ? 'success' : 'garbage-arguments', `${procedure} ${bytes.toString('hex')}`);
        if (!isValid) return;
        const decoded = decodeResult(procedure, result);
        assert.ok(decoded !== null, `${procedure} was answered with ${result.toString('hex')}`);
        const status = 'status' in decoded ? decoded.status : 0;
        const line = `${procedure} ${status}`;
        spoken.set(line, (spoken.get(line) ?? 0) + 1);
        if ('handle' in decoded && decoded.handle !== null && handles.length < 40) handles.push(decoded.handle);
      });
      await Promise.all(answers);
      assert.equal(client.strays.length, 0);
      assert.equal(doors.usedBytes(VOLUME), 0);
      client.destroy();
      const next = await NfsClient.connect(port);
      await next.ping();
      next.destroy();
    }),
    { numRuns: 150 },
  );
  // It was no mere exchange of refusals.
  const carriedOut = [...spoken.keys()].filter((line) => line.endsWith(' 0'));
  assert.ok(carriedOut.length >= 8 && spoken.size >= 30, [...spoken.keys()].toSorted().join(', '));
});
