/**
 * Runs every compiled test under Node's test runner: dist/{src,suites,sim,e2e,bench}/**\/*.test.js.
 *
 *     npm test                                everything
 *     npm test -- src/base e2e/nbd.test.ts    only what begins with these paths
 *     npm test -- --test-name-pattern=torn    options go to node --test
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** One test that hangs fails alone and says so, instead of taking the whole run with it. */
const TEST_TIMEOUT_MS = 600_000;
/** The folders that tsconfig.json compiles, quick tests first. */
const FOLDERS = ['src', 'suites', 'sim', 'bench', 'e2e'];

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);

const options = process.argv.slice(2).filter((argument) => argument.startsWith('-'));
const prefixes = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));

const compiled = FOLDERS.flatMap((folder) => filesBelow(path.join('dist', folder)));
removeStale(compiled);
const tests = compiled.filter((file) => file.endsWith('.test.js') && existsSync(file) && isWanted(file));
if (tests.length === 0) {
  console.error(
    prefixes.length > 0 ? `No test begins with ${prefixes.join(' or ')}.` : 'dist/ holds no tests: run npm run build.',
  );
  process.exit(1);
}

const runner = spawn(
  process.execPath,
  [
    '--enable-source-maps',
    '--test',
    `--test-timeout=${TEST_TIMEOUT_MS}`,
    '--test-reporter=./scripts/reporter.mjs',
    '--test-reporter-destination=stdout',
    ...options,
    ...tests,
  ],
  { stdio: 'inherit' },
);
// Ctrl-C reaches the whole foreground group; a signal sent to this process alone is passed on.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => runner.kill(signal));
runner.on('error', (error) => {
  console.error(`node --test did not start: ${error.message}`);
  process.exit(1);
});
runner.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1);
});

function isWanted(file) {
  const source = path.relative('dist', file).replace(/\.js$/, '');
  return (
    prefixes.length === 0 ||
    prefixes.some((prefix) => source.startsWith(prefix.replace(/^\.\//, '').replace(/\.ts$/, '')))
  );
}

/** Output whose source is gone would be run, or imported, for ever: the compiler does not remove it. */
function removeStale(files) {
  for (const file of files) {
    const source = path.relative('dist', file).replace(/\.js(\.map)?$/, '.ts');
    if (/\.js(\.map)?$/.test(file) && !existsSync(source)) rmSync(file);
  }
}

function filesBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}
