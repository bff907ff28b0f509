/** For tests: takes the lock on the file named by its argument, starts a child that outlives it, prints that child's pid. */
import { spawn } from 'node:child_process';
import { tryLockExclusive } from './flock.ts';

const path = process.argv[2];
if (path === undefined || tryLockExclusive(path) === null) process.exit(1);
const child = spawn('sleep', ['60'], { stdio: 'ignore', detached: true });
child.on('spawn', () => process.stdout.write(`${child.pid}\n`));
