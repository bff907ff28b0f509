/**
 * The repository's rules as tests: what a reviewer would otherwise have to look for in every change. The linter knows
 * the same import directions; here they are told from the files as they are, imports of every form included.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { repositoryRoot } from '../e2e/programs.ts';

const MOST_LINES = 450;

/** What each room may import from beside itself. `types` only as `import type`. */
const ROOMS: Readonly<Record<string, { readonly values: readonly string[]; readonly types?: readonly string[] }>> = {
  'src/base': { values: [] },
  'src/wire': { values: ['src/base'], types: ['src/ports'] },
  'src/ports': { values: ['src/base', 'src/wire'] },
  'src/core': { values: ['src/base', 'src/wire', 'src/ports'] },
  'src/front': { values: ['src/base', 'src/wire', 'src/ports'] },
  'src/drivers': { values: ['src/base', 'src/wire', 'src/ports'] },
  'src/app': { values: ['src/base', 'src/wire', 'src/ports', 'src/core', 'src/front', 'src/drivers'] },
  sim: { values: ['src/base', 'src/wire', 'src/ports', 'src/core', 'src/front'] },
};
/** What tests beside the code may import too. */
const FOR_TESTS = ['suites', 'sim', 'e2e'];
/** The only place for native calls. */
const NATIVE_ROOM = 'src/drivers/linux/';

const root = repositoryRoot();
const sources = ['src', 'sim', 'suites', 'e2e', 'bench', 'scripts', 'bin', 'web'].flatMap((folder) =>
  filesBelow(folder, /\.(ts|tsx|mjs|sh)$/),
);
const modules = sources.filter((file) => file.endsWith('.ts'));
const documents = [...readdirSync(root).filter((name) => name.endsWith('.md')), ...filesBelow('docs', /\.md$/)];

/** An import as it stands in a file: `to` is a path from the root, or a package's name. */
interface Import {
  readonly file: string;
  readonly to: string;
  readonly typeOnly: boolean;
}
const imports = modules.flatMap(importsOf);

test('there is something to check', () => {
  assert.ok(modules.length > 20 && imports.length > 50, `${modules.length} modules, ${imports.length} imports`);
});

test('every room imports only from the rooms below it', () => {
  const wrong = imports.filter(({ file, to, typeOnly }) => {
    const room = roomOf(file);
    const rules = ROOMS[room];
    if (rules === undefined || !isOurs(to)) return false;
    const target = roomOf(to);
    if (target === room || rules.values.includes(target)) return false;
    if (typeOnly && (rules.types ?? []).includes(target)) return false;
    return !(file.endsWith('.test.ts') && FOR_TESTS.includes(target));
  });
  none(wrong.map(({ file, to }) => `${file} imports ${to}`));
});

test('what is imported exists', () => {
  none(
    imports
      .filter(({ to }) => isOurs(to) && !existsSync(path.join(root, to)))
      .map(({ file, to }) => `${file} imports ${to}`),
  );
});

test('native calls are made in src/drivers/linux alone', () => {
  none(imports.filter(({ file, to }) => to === 'koffi' && !file.startsWith(NATIVE_ROOM)).map(({ file }) => file));
});

test(`no file is longer than ${MOST_LINES} lines`, () => {
  const long = sources.map((file) => ({ file, lines: read(file).trimEnd().split('\n').length }));
  none(long.filter(({ lines }) => lines > MOST_LINES).map(({ file, lines }) => `${file}: ${lines} lines`));
});

test('every module opens with what it is', () => {
  const opening = /^(#!.*\n)?\/\*\*[\s\S]{20,}?\*\//;
  none(modules.filter((file) => !file.endsWith('.test.ts') && !opening.test(read(file))));
});

test('nothing is left for later', () => {
  // Written apart, so that this file does not find itself.
  const later = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'].join('|')})\\b`);
  none([...sources, ...documents].flatMap((file) => linesMatching(file, later)));
});

test('no test is left to run alone', () => {
  none(
    modules
      .filter((file) => file.endsWith('.test.ts'))
      .flatMap((file) => linesMatching(file, /\b(test|it|describe|suite)\.only\(|\bonly: true/)),
  );
});

test('every link in the documents leads somewhere', () => {
  none(documents.flatMap(brokenLinks));
});

test('every dependency is used, and everything used is a dependency', () => {
  const manifest = JSON.parse(read('package.json')) as Record<
    'dependencies' | 'devDependencies',
    Record<string, string>
  >;
  const shipped = sources.filter((file) => file.startsWith('src/') && !file.endsWith('.test.ts')).map(read);
  none(
    Object.keys(manifest.dependencies)
      .filter((name) => !shipped.some((text) => text.includes(`'${name}'`) || text.includes(`'${name}/`)))
      .map((name) => `${name} is in dependencies and used nowhere`),
  );
  const declared = { ...manifest.dependencies, ...manifest.devDependencies };
  none(
    imports
      .filter(({ to }) => !isOurs(to) && !to.startsWith('node:') && !(to in declared))
      .map(({ file, to }) => `${file} imports ${to}, which package.json does not name`),
  );
  none(
    imports
      .filter(
        ({ file, to, typeOnly }) =>
          file.startsWith('src/') && !file.endsWith('.test.ts') && !typeOnly && to in manifest.devDependencies,
      )
      .map(({ file, to }) => `${file} is shipped and imports ${to}, which is not`),
  );
});

test('the lock file names no host, and the packages of every platform', () => {
  const lock = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, { resolved?: string; optionalDependencies?: Record<string, string> }>;
  };
  const places = Object.entries(lock.packages);
  none(places.filter(([, entry]) => entry.resolved !== undefined).map(([place]) => `${place} is tied to a host`));
  // Where a registry does not carry them all, npm leaves some out when it writes the file, and npm ci then refuses it.
  none(
    places
      .flatMap(([, entry]) => Object.keys(entry.optionalDependencies ?? {}))
      .filter((name) => lock.packages[`node_modules/${name}`] === undefined)
      .map((name) => `${name} is missing: npm ci will refuse the file`),
  );
});

/** Fails with all of `findings`, not only the first. */
function none(findings: readonly string[]): void {
  assert.equal(findings.length, 0, `\n${[...new Set(findings)].join('\n')}`);
}

function read(file: string): string {
  return readFileSync(path.join(root, file), 'utf8');
}

function filesBelow(folder: string, wanted: RegExp): string[] {
  const absolute = path.join(root, folder);
  if (!existsSync(absolute)) return [];
  return readdirSync(absolute, { recursive: true, encoding: 'utf8' })
    .map((name) => path.join(folder, name))
    .filter((file) => wanted.test(file) && !/(^|\/)(node_modules|dist)\//.test(file))
    .sort();
}

/** 'src/core' for anything in src/core, 'sim' for anything in sim; files directly in src have the room 'src'. */
function roomOf(file: string): string {
  const [first = '', second = '', ...rest] = file.split('/');
  return first === 'src' && rest.length > 0 ? `src/${second}` : first;
}

function isOurs(to: string): boolean {
  return /^(src|sim|suites|e2e|bench|scripts|bin)\//.test(to);
}

function importsOf(file: string): Import[] {
  const text = withoutComments(read(file));
  const found: Import[] = [];
  const add = (specifier: string, typeOnly: boolean): void => {
    const to = specifier.startsWith('.') ? path.join(path.dirname(file), specifier) : packageOf(specifier);
    found.push({ file, to, typeOnly });
  };
  for (const match of text.matchAll(/^\s*(?:import|export)\s+(type\s+)?(?:[\w*{}\s,]+?\s+from\s+)?'([^'\n]+)'/gm)) {
    add(match[2] ?? '', match[1] !== undefined);
  }
  for (const match of text.matchAll(/\b(?:import|require)\(\s*'([^'\n]+)'/g)) add(match[1] ?? '', false);
  return found;
}

function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return specifier;
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

/** Good enough for finding imports: examples in docblocks are not imports. */
function withoutComments(text: string): string {
  return text.replace(/^\s*\/\*\*[\s\S]*?\*\//gm, '').replace(/^\s*\/\/.*$/gm, '');
}

function linesMatching(file: string, pattern: RegExp): string[] {
  return read(file)
    .split('\n')
    .flatMap((line, at) => (pattern.test(line) ? [`${file}:${at + 1}: ${line.trim()}`] : []));
}

/** Relative links whose file, or whose heading within it, is not there. */
function brokenLinks(document: string): string[] {
  const text = read(document)
    .replace(/^```[\s\S]*?^```/gm, '')
    .replace(/`[^`\n]*`/g, '');
  const broken: string[] = [];
  for (const match of text.matchAll(
    /\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)|^\[[^\]]+\]:\s*(\S+)|(?:src|href)="([^"]+)"/gm,
  )) {
    const link = match[1] ?? match[2] ?? match[3] ?? '';
    if (/^[a-z][a-z0-9+.-]*:/i.test(link)) continue;
    const [to = '', anchor] = link.split('#', 2);
    const target = to === '' ? document : path.join(path.dirname(document), decodeURIComponent(to));
    if (target.startsWith('..') || !existsSync(path.join(root, target)))
      broken.push(`${document}: ${link} is not there`);
    else if (anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).has(anchor)) {
      broken.push(`${document}: ${link} has no such heading`);
    }
  }
  return broken;
}

/** The anchors of a document's headings, as GitHub makes them. */
function anchorsOf(document: string): Set<string> {
  const text = read(document).replace(/^```[\s\S]*?^```/gm, '');
  const anchors = new Set<string>();
  for (const match of text.matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const anchor = (match[1] ?? '')
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-');
    let unique = anchor;
    for (let again = 1; anchors.has(unique); again += 1) unique = `${anchor}-${again}`;
    anchors.add(unique);
  }
  for (const match of text.matchAll(/<a\s+(?:id|name)="([^"]+)"/g)) anchors.add(match[1] ?? '');
  return anchors;
}
