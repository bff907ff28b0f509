/**
 * For tests: a server's process that lives until it is killed, and says so once it holds its lock.
 *
 *     hold-life.fixture.js STATE-DIRECTORY SERVER INCARNATION
 */
import type { Incarnation, ServerId } from '../../base/names.ts';
import { BootClock } from '../linux/boot-clock.ts';
import { ServerLock } from './server-lock.ts';

const [directory = '', server = '', incarnation = ''] = process.argv.slice(2);
await ServerLock.acquire(directory, server as ServerId, incarnation as Incarnation, new BootClock());
process.stdout.write('alive\n');
setInterval(() => {}, 60_000);
