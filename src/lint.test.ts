/**
 * The linter's configuration, tested: in a copy of the house with a violation of every ban planted in it, each is
 * found where it stands, and what is allowed is left alone.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { repositoryRoot } from '../e2e/programs.ts';

/** A planted file, and the rules that must speak up about it; none for what is allowed. */
interface Plant {
  readonly file: string;
  readonly code: string;
  readonly rules: readonly string[];
  /** A part of the message: the replacement that it names. */
  readonly says?: string;
}

const pureRooms = ['src/base', 'src/wire', 'src/ports', 'src/core'] as const;
const ambient: readonly (readonly [name: string, code: string, says: string])[] = [
  ['date', 'export const at = Date.now();', 'Clock.nowMs'],
  ['new-date', 'export const at = new Date();', 'Clock.nowMs'],
  ['performance', 'export const at = performance.now();', 'Clock.nowMs'],
  ['timeout', 'setTimeout(() => {}, 1);', 'Clock.after'],
  ['interval', 'setInterval(() => {}, 1);', 'Clock.after'],
  ['immediate', 'setImmediate(() => {});', 'Clock.soon'],
  ['microtask', 'queueMicrotask(() => {});', 'Clock.soon'],
  ['global-timeout', 'globalThis.setTimeout(() => {}, 1);', 'Clock.after'],
  ['process', 'export const home = process.env.HOME;', 'settings.ts'],
  ['crypto', 'export const id = crypto.randomUUID();', 'Ids.draw'],
  ['console', "console.log('here');", 'Observer.note'],
];
const builtins = ['fs', 'net', 'child_process', 'timers/promises', 'assert', 'dgram', 'worker_threads', 'crypto'];

const plants: readonly Plant[] = [
  ...pureRooms.flatMap((room): Plant[] => [
    ...ambient.map(([name, code, says]) => ({
      file: `${room}/plant-global-${name}.ts`,
      code,
      rules: ['no-restricted-globals'],
      says,
    })),
    {
      file: `${room}/plant-random.ts`,
      code: 'export const chance = Math.random();',
      rules: ['no-restricted-properties'],
      says: 'Ids.spread',
    },
    ...builtins.map((builtin) => ({
      file: `${room}/plant-${builtin.replace('/', '-')}.ts`,
      code: `import * as builtin from 'node:${builtin}';\nexport const it = builtin;`,
      rules: ['no-restricted-imports'],
    })),
    {
      file: `${room}/plant-package.ts`,
      code: "import { z } from 'zod';\nexport const it = z;",
      rules: ['no-restricted-imports'],
    },
    { file: `${room}/plant-buffer.ts`, code: 'export const it = Buffer.alloc(1);', rules: [] },
    {
      file: `${room}/plant-ambient.test.ts`,
      code: "import { test } from 'node:test';\nexport const at = Date.now();\ntest('it', () => {});",
      rules: ['no-restricted-globals'],
    },
  ]),
  ...directions([
    ['src/base', ['wire', 'ports', 'core', 'front', 'drivers', 'app'], ['base']],
    ['src/wire', ['ports', 'core', 'front', 'drivers', 'app'], ['base']],
    ['src/ports', ['core', 'front', 'drivers', 'app'], ['base', 'wire']],
    ['src/core', ['front', 'drivers', 'app'], ['base', 'wire', 'ports']],
    ['src/front', ['core', 'drivers', 'app'], ['base', 'wire', 'ports']],
    ['src/drivers', ['core', 'front', 'app'], ['base', 'wire', 'ports']],
    ['src/app', [], ['base', 'wire', 'ports', 'core', 'front', 'drivers']],
  ]),
  {
    file: 'src/wire/plant-port-type.ts',
    code: "import type { it } from '../ports/target.ts';\nexport type That = typeof it;",
    rules: [],
  },
  {
    file: 'src/wire/plant-hmac.ts',
    code: "import { createHmac, timingSafeEqual } from 'node:crypto';\nexport const it = [createHmac, timingSafeEqual];",
    rules: [],
  },
  {
    file: 'src/wire/plant-draw.ts',
    code: "import { randomBytes } from 'node:crypto';\nexport const it = randomBytes;",
    rules: ['no-restricted-imports'],
    says: 'Ids.draw',
  },
  ...['src/front', 'src/drivers/store', 'src/app', 'sim', 'bench'].map((room) => ({
    file: `${room}/plant-koffi.ts`,
    code: "import koffi from 'koffi';\nexport const it = koffi;",
    rules: ['no-restricted-imports'],
    says: 'src/drivers/linux',
  })),
  { file: 'src/drivers/linux/plant-koffi.ts', code: "import koffi from 'koffi';\nexport const it = koffi;", rules: [] },
  {
    file: 'sim/plant-driver.ts',
    code: "import { it } from '../src/drivers/target.ts';\nexport const that = it;",
    rules: ['no-restricted-imports'],
  },
  {
    file: 'src/app/plant-promise.ts',
    code: 'async function run(): Promise<void> {}\nrun();',
    rules: ['no-floating-promises'],
  },
  {
    file: 'src/app/plant-misused.ts',
    code: 'async function run(): Promise<boolean> {\n  return true;\n}\nexport const it = run() ? 1 : 2;',
    rules: ['no-misused-promises'],
  },
  {
    file: 'src/front/plant-switch.ts',
    code: "export function it(kind: 'a' | 'b'): number {\n  switch (kind) {\n    case 'a':\n      return 1;\n    default:\n      return 2;\n  }\n}",
    rules: ['switch-exhaustiveness-check'],
  },
  {
    file: 'src/app/plant-switch.ts',
    code: "export function it(kind: 'a' | 'b'): number | undefined {\n  switch (kind) {\n    case 'a':\n      return 1;\n  }\n}",
    rules: ['switch-exhaustiveness-check'],
  },
  { file: 'src/app/plant-unused.ts', code: 'const unused = 1;\nexport const it = 2;', rules: ['no-unused-vars'] },
  {
    file: 'src/app/plant-any.ts',
    code: 'export const it = (value: any): unknown => value;',
    rules: ['no-explicit-any'],
  },
  { file: 'src/app/plant-ignore.ts', code: '// @ts-ignore\nexport const it: number = 1;', rules: ['ban-ts-comment'] },
  { file: 'src/app/plant-default.ts', code: 'export default 1;', rules: ['no-default-export'] },
  { file: 'src/app/plant-equal.ts', code: 'export const it = (a: unknown): boolean => a == 1;', rules: ['eqeqeq'] },
  {
    file: 'src/app/plant-throw.ts',
    code: "export function it(): never {\n  throw 'text';\n}",
    rules: ['only-throw-error'],
  },
  {
    file: 'src/app/plant-cycle-a.ts',
    code: "import { b } from './plant-cycle-b.ts';\nexport const a = (): number => b();",
    rules: ['no-cycle'],
  },
  {
    file: 'src/app/plant-cycle-b.ts',
    code: "import { a } from './plant-cycle-a.ts';\nexport const b = (): number => a();",
    rules: ['no-cycle'],
  },
];

/** Per room: an import from every room above it, which is refused, and from every room below it, which is not. */
function directions(
  rooms: readonly (readonly [from: string, up: readonly string[], down: readonly string[]])[],
): Plant[] {
  return rooms.flatMap(([from, up, down]) => [
    ...up.map((to) => ({
      file: `${from}/plant-from-${to}.ts`,
      code: `import { it } from '../${to}/target.ts';\nexport const that = it;`,
      rules: ['no-restricted-imports'],
    })),
    ...up.map((to) => ({
      file: `${from}/deeper/plant-from-${to}.ts`,
      code: `import { it } from '../../${to}/target.ts';\nexport const that = it;`,
      rules: ['no-restricted-imports'],
    })),
    ...down.map((to) => ({
      file: `${from}/plant-from-${to}.ts`,
      code: `import { it } from '../${to}/target.ts';\nexport const that = it;`,
      rules: [],
    })),
  ]);
}

let house = '';

before(async () => {
  const root = repositoryRoot();
  house = await mkdtemp(path.join(tmpdir(), 'holdfast-lint-'));
  for (const file of ['.oxlintrc.json', 'package.json', 'tsconfig.json'])
    await cp(path.join(root, file), path.join(house, file));
  await symlink(path.join(root, 'node_modules'), path.join(house, 'node_modules'));
  const targets = ['base', 'wire', 'ports', 'core', 'front', 'drivers', 'app'].map((room) => ({
    file: `src/${room}/target.ts`,
    code: 'export const it = 1;',
  }));
  for (const { file, code } of [...plants, ...targets]) {
    await mkdir(path.dirname(path.join(house, file)), { recursive: true });
    await writeFile(path.join(house, file), `${code}\n`);
  }
});

after(async () => {
  await rm(house, { recursive: true, force: true });
});

test('every planted violation is found, and nothing else', async () => {
  const found = await lint(house);
  for (const { file, rules, says } of plants) {
    const here = found.filter((finding) => finding.file === file);
    assert.deepEqual([...new Set(here.map((finding) => finding.rule))], rules, file);
    if (says !== undefined)
      assert.ok(
        here.some((finding) => finding.text.includes(says)),
        `${file}: ${says}`,
      );
  }
  assert.deepEqual(
    found.filter((finding) => !plants.some(({ file }) => file === finding.file)),
    [],
  );
});

/** What the linter says about the code at `cwd`. */
function lint(cwd: string): Promise<{ file: string; rule: string; text: string }[]> {
  const oxlint = path.join(cwd, 'node_modules/oxlint/bin/oxlint');
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [oxlint, '--format', 'json', 'src', 'sim', 'bench'],
      { cwd, maxBuffer: 64 << 20 },
      (_error, stdout, stderr) => {
        try {
          const report = JSON.parse(stdout) as {
            diagnostics: { filename: string; code: string; message: string; help?: string }[];
          };
          resolve(
            report.diagnostics.map(({ filename, code, message, help }) => ({
              file: filename,
              rule: /\(([^)]*)\)/.exec(code)?.[1] ?? code,
              text: `${message} ${help ?? ''}`,
            })),
          );
        } catch (cause) {
          reject(new Error(`the linter did not answer: ${stderr}${stdout}`, { cause }));
        }
      },
    );
  });
}
