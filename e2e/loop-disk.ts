/**
 * A disk of a test's own that can fail: ext4 on a loop device on a file shown by nbdfuse, behind nbdkit with its error and
 * delay filters. All that is mounted on it sees what happens to a real disk: EIO, calls that do not return, latency.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { sleep } from './line.ts';
import { MOUNT_PRIVILEGES, MOUNT_PROGRAMS } from './mounts.ts';
import { needs } from './programs.ts';
import { attempt, run, type Running, start } from './run.ts';

/** Why there can be no such disk here, or false. */
export const LOOP_SKIP = needs(['nbdkit', 'nbdfuse', ...MOUNT_PROGRAMS], MOUNT_PRIVILEGES);

export interface LoopOptions {
  readonly megabytes: number;
  /** Each request takes so much longer, ms. */
  readonly delayMs?: number;
}

export class LoopDisk {
  /** A directory on it. */
  readonly folder: string;
  readonly #mounted: string;
  readonly #directory: string;
  readonly #broken: string;
  #nbdkit: Running | null = null;
  #nbdfuse: Running | null = null;
  #device = '';

  readonly #options: LoopOptions;

  /** Only its place; it is made by `open`. */
  constructor(options: LoopOptions) {
    this.#options = options;
    this.#directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-disk-'));
    this.#mounted = path.join(this.#directory, 'mounted');
    this.folder = path.join(this.#mounted, 'files');
    this.#broken = path.join(this.#directory, 'broken');
    process.once('exit', () => this.#abandon());
  }

  /** Whatever happened to the test, nothing of it stays. */
  #abandon(): void {
    this.#nbdkit?.child.kill('SIGKILL');
    this.#nbdfuse?.child.kill('SIGKILL');
    const commands =
      this.#device === ''
        ? []
        : [
            ['umount', '-l', this.#mounted],
            ['losetup', '--detach', this.#device],
          ];
    for (const [program = '', ...args] of commands)
      try {
        execFileSync(program, args, { stdio: 'ignore' });
      } catch {
        // It is gone already.
      }
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async open(): Promise<void> {
    const { megabytes, delayMs = 0 } = this.#options;
    const at = (name: string): string => path.join(this.#directory, name);
    mkdirSync(this.#mounted);
    writeFileSync(at('data'), '');
    truncateSync(at('data'), megabytes << 20);
    writeFileSync(at('shown'), '');
    const errors = ['error=EIO', 'error-rate=100%', `error-file=${this.#broken}`];
    const delays = [`rdelay=${delayMs}ms`, `wdelay=${delayMs}ms`];
    const filters = ['--filter=error', '--filter=delay'];
    const kit = start('nbdkit', '-f', '-U', at('socket'), ...filters, 'file', at('data'), ...errors, ...delays);
    this.#nbdkit = kit;
    for (let look = 0; statSync(at('shown')).size === 0; look += 1) {
      if (look > 500 || !kit.running) throw new Error(`nbdkit shows nothing: ${kit.text}`);
      if (existsSync(at('socket')))
        this.#nbdfuse ??= start('nbdfuse', at('shown'), `nbd+unix:///?socket=${at('socket')}`);
      await sleep(20);
    }
    this.#device = (await run('losetup', '--find', '--show', at('shown'))).trim();
    await run('mkfs.ext4', '-q', this.#device);
    await run('mount', this.#device, this.#mounted);
    mkdirSync(this.folder);
  }

  /** From now on every request fails. */
  fail(): void {
    writeFileSync(this.#broken, '');
  }

  /** From now on no request returns. */
  hang(): void {
    this.#nbdkit?.child.kill('SIGSTOP');
  }

  heal(): void {
    rmSync(this.#broken, { force: true });
    this.#nbdkit?.child.kill('SIGCONT');
  }

  /** What an administrator does with a file system that has seen errors. Nobody uses it meanwhile. */
  async repair(): Promise<void> {
    // A process that was killed lets go of its files a moment later.
    for (let tries = 0; (await attempt('umount', this.#mounted)).code !== 0; tries += 1) {
      if (tries > 100) throw new Error(`${this.#mounted} is still in use`);
      await sleep(100);
    }
    const { code, text } = await attempt('e2fsck', '-f', '-y', this.#device);
    // 1: errors were corrected.
    if (code > 1) throw new Error(`e2fsck ended with ${code}: ${text}`);
    await run('mount', this.#device, this.#mounted);
  }

  async end(): Promise<void> {
    this.heal();
    await attempt('umount', '-l', this.#mounted);
    await attempt('losetup', '--detach', this.#device);
    await attempt('fusermount3', '-u', '-z', path.join(this.#directory, 'shown'));
    await this.#nbdfuse?.stop();
    await this.#nbdkit?.stop();
    this.#device = '';
  }
}
