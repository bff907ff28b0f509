/**
 * Makes a clone ready to run: checks Node and installs the packages of package-lock.json when they are not there or not
 * those. Says nothing when there is nothing to do. Plain Node without packages, old syntax: it has to run where nothing
 * has been installed yet, and on a Node that is too old.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const wanted = path.join(root, 'package-lock.json');
const present = path.join(root, 'node_modules', '.package-lock.json');

/** The Node that Holdfast needs, as package.json's "engines" says. */
const NEEDED = [20, 19];

checkNode();
if (!isInstalled()) install();

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])) return;
  fail(
    `Holdfast needs Node ${NEEDED.join('.')} or newer, and this is ${process.version}.`,
    'Install a current one from https://nodejs.org or your distribution, and run the command again.',
  );
}

/** Whether node_modules holds what the lock file says. A newer date alone (a fresh checkout) is not yet a difference. */
function isInstalled() {
  if (!existsSync(present)) return false;
  if (statSync(wanted).mtimeMs <= statSync(present).mtimeMs) return true;
  let lock, installed;
  try {
    lock = JSON.parse(readFileSync(wanted, 'utf8')).packages;
    installed = JSON.parse(readFileSync(present, 'utf8')).packages;
  } catch {
    return false;
  }
  return Object.entries(lock).every(
    ([place, entry]) => place === '' || entry.optional === true || installed[place]?.version === entry.version,
  );
}

function install() {
  console.error('Installing packages: npm ci (once, a minute at most) ...');
  const started = Date.now();
  const options = ['ci', '--no-fund', '--no-audit', '--loglevel=error'];
  // npm tells its scripts where it is itself; run by hand, the one on the PATH has to do.
  const npm = /npm-cli\.[cm]?js$/.test(process.env.npm_execpath ?? '') ? process.env.npm_execpath : null;
  const result = npm
    ? spawnSync(process.execPath, [npm, ...options], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
    : spawnSync('npm', options, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  if (result.error || result.status !== 0) {
    fail(
      `npm ci failed${result.error ? `: ${result.error.message}` : ''}.`,
      'It needs the package registry that npm is configured for (npm config get registry), or a filled npm cache.',
    );
  }
  console.error(`Packages are installed (${((Date.now() - started) / 1000).toFixed(1)} s).`);
}

function fail(...lines) {
  for (const line of lines) console.error(line);
  process.exit(1);
}
