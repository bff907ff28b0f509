/**
 * A volume as a file system on this machine: an NBD client that shows it as a file (nbdfuse, or qemu-storage-daemon, which
 * reconnects by itself), a loop device on that file, ext4 on the device. Needs root. Everything is undone when the
 * cluster ends, in whatever state it is by then.
 */
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Cluster } from './cluster.ts';
import type { Program } from './programs.ts';
import { attempt, run, type Running, start } from './run.ts';

/** What all of this needs, beside the client. */
export const MOUNT_PROGRAMS: readonly Program[] = ['mkfs.ext4', 'e2fsck', 'losetup', 'mount', 'umount', 'fusermount3'];
export const MOUNT_PRIVILEGES = { root: true, devices: ['/dev/fuse', '/dev/loop-control'] };

/** A volume shown as a file by one client process. */
export class ShownDisk {
  readonly file: string;
  readonly #cluster: Cluster;
  readonly #client: Running;
  readonly #isMounted: string;
  #device: string | null = null;
  #folder: string | null = null;

  private constructor(cluster: Cluster, file: string, isMounted: string, client: Running) {
    this.#cluster = cluster;
    this.file = file;
    this.#isMounted = isMounted;
    this.#client = client;
    cluster.onEnd(() => this.abandon());
  }

  /** By nbdfuse: it does not reconnect; after a failover it is started again. `name` is used once. */
  static async byNbdfuse(cluster: Cluster, name: string): Promise<ShownDisk> {
    const folder = path.join(cluster.directory, name);
    mkdirSync(folder);
    const file = path.join(folder, 'disk');
    return new ShownDisk(cluster, file, folder, start('nbdfuse', file, cluster.volume().uri)).#appear();
  }

  /** By qemu-storage-daemon: it reconnects by itself and sends unanswered requests again. */
  static async byQemu(cluster: Cluster, name: string): Promise<ShownDisk> {
    const { host, port } = cluster.volume();
    const file = path.join(cluster.directory, name);
    writeFileSync(file, '');
    const disk = `driver=nbd,node-name=disk,server.type=inet,server.host=${host},server.port=${port},export=disk,reconnect-delay=60,discard=unmap`;
    const shown = `type=fuse,id=shown,node-name=disk,mountpoint=${file},writable=on`;
    const client = start('qemu-storage-daemon', '--blockdev', disk, '--export', shown);
    return new ShownDisk(cluster, file, file, client).#appear();
  }

  async #appear(): Promise<this> {
    await this.#cluster.until(`${this.file} shows the volume`, () => {
      if (!this.#client.running) throw new Error(`the client ended: ${this.#client.text}`);
      return (statSync(this.file, { throwIfNoEntry: false })?.size ?? 0) > 0;
    });
    return this;
  }

  /** The loop device on the file. */
  async device(): Promise<string> {
    this.#device ??= (await run('losetup', '--find', '--show', this.file)).trim();
    return this.#device;
  }

  async format(): Promise<void> {
    await run('mkfs.ext4', '-q', await this.device());
  }

  /** Mounts the file system; ext4 replays its own journal if it was not unmounted. Gives the folder. */
  async mount(): Promise<string> {
    const folder = `${this.file}-mounted`.replace(`${this.#isMounted}/`, `${this.#isMounted}-`);
    mkdirSync(folder, { recursive: true });
    await run('mount', await this.device(), folder);
    this.#folder = folder;
    return folder;
  }

  async unmount(): Promise<void> {
    if (this.#folder !== null) await run('umount', this.#folder);
    this.#folder = null;
  }

  /** Must find nothing wrong with a file system that was unmounted. */
  async check(): Promise<void> {
    await run('e2fsck', '-f', '-n', await this.device());
  }

  /** Lets go of everything, in whatever state it is: a client whose connection is lost can only fail what is asked. */
  async abandon(): Promise<void> {
    if (this.#folder !== null) await attempt('umount', '-l', this.#folder);
    this.#folder = null;
    if (this.#device !== null) await attempt('losetup', '--detach', this.#device);
    this.#device = null;
    await attempt('fusermount3', '-u', '-z', this.#isMounted);
    await this.#client.stop();
    // What a client that ended by itself leaves behind.
    await attempt('fusermount3', '-u', '-z', this.#isMounted);
  }
}
