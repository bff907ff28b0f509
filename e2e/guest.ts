/**
 * A small Linux machine in qemu, for what needs a kernel of its own: the kernel's NBD and NFS clients, and a guest on
 * qemu's disk. Its whole system is an initramfs of busybox and a few programs of this machine; it is driven by lines on its console.
 * No network of this machine is touched: the guest reaches 127.0.0.1 as 10.0.2.2.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Cluster } from './cluster.ts';
import { NEEDS, needs, type Program, programPath } from './programs.ts';
import { type Running, start } from './run.ts';

/** Where the guest reaches the services of this machine. */
export const HOST_FROM_GUEST = '10.0.2.2';

/** What a guest brings beside busybox. */
export interface Kit {
  /** With their libraries, in /sbin. */
  readonly programs: readonly Program[];
  /** In the order in which they are loaded; what the kernel has built in is not there and not missed. */
  readonly modules: readonly string[];
  /** More files: where they are in the guest, and on this machine. */
  readonly files?: ReadonlyMap<string, string>;
}

const NETWORK =
  'virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover net_failover virtio_net';
const DISKS = 'virtio_blk crc16 crc32c_generic libcrc32c mbcache jbd2 ext4 nbd';
const FILES = 'sunrpc auth_rpcgss grace nfs_acl lockd netfs fscache nfs nfsv3';

/** The kernel's NBD client, a disk, ext4. */
export const NBD_KIT: Kit = {
  programs: ['nbd-client', 'mkfs.ext4', 'e2fsck'],
  modules: `${NETWORK} ${DISKS}`.split(' '),
};
/** The kernel's NFS client. */
export const NFS_KIT: Kit = { programs: [], modules: `${NETWORK} ${FILES}`.split(' ') };

/** No display, no reboot, emulated: nested virtualization is not to be had everywhere. */
const MACHINE =
  '-accel tcg -cpu max -m 512 -no-reboot -display none -monitor none -serial stdio -nic user,model=virtio-net-pci';

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module.ko 2>/dev/null; done
ip link set lo up; ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up
stty -echo
echo "guest is ready"
while read -r line; do eval "$line"; echo "ended with $?"; done
poweroff -f
`;

/** A kernel image with the folder of its modules. */
interface Kernel {
  readonly image: string;
  readonly modules: string;
}

/** Where scripts/setup-debian.sh unpacks a kernel. */
const UNPACKED = '/var/cache/holdfast-e2e/kernel';

/** Debian's linux-image package, installed, or unpacked in the folder HOLDFAST_E2E_KERNEL or by the set-up script. */
function findKernel(): Kernel | null {
  const given = process.env['HOLDFAST_E2E_KERNEL'];
  for (const root of given === undefined ? ['/', UNPACKED] : [given]) {
    const boot = path.join(root, 'boot');
    for (const name of existsSync(boot) ? readdirSync(boot).sort().toReversed() : []) {
      const modules = path.join(root, 'lib/modules', name.replace('vmlinuz-', ''));
      const isWhole = name.startsWith('vmlinuz-') && existsSync(modules) && moduleFiles(modules).has('nfsv3');
      if (isWhole) return { image: path.join(boot, name), modules };
    }
  }
  return null;
}

/** Modules that are not compressed, by name. */
function moduleFiles(folder: string): ReadonlyMap<string, string> {
  const all = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ko'));
  return new Map(all.map((file) => [path.basename(file, '.ko'), path.join(folder, file)]));
}

/** The reason why no guest can run here, for a test's `skip`. */
export function needsGuest(kit: Kit, more: readonly Program[] = []): string | false {
  const missing = needs(['qemu-system-x86_64', 'busybox', ...kit.programs, ...more]);
  if (missing !== false) return missing;
  if (findKernel() !== null) return false;
  return `${NEEDS}a kernel with its modules (Debian: linux-image-amd64, installed or unpacked): npm run setup:debian`;
}

export class Guest {
  readonly #cluster: Cluster;
  readonly #qemu: Running;
  #read = 0;

  private constructor(cluster: Cluster, qemu: Running) {
    this.#cluster = cluster;
    this.#qemu = qemu;
  }

  /** Boots it; `drives` are qemu's words for disks, which it sees as /dev/vda and so on. */
  static async boot(cluster: Cluster, kit: Kit, drives: readonly string[] = []): Promise<Guest> {
    const kernel = findKernel();
    if (kernel === null) throw new Error('a test with a guest begins with needsGuest()');
    const initramfs = packInitramfs(cluster.directory, kernel, kit);
    const qemu = start(
      'qemu-system-x86_64',
      ...MACHINE.split(' '),
      '-kernel',
      kernel.image,
      '-initrd',
      initramfs,
      '-append',
      'console=ttyS0 quiet panic=-1',
      ...drives.flatMap((drive) => ['-drive', drive]),
    );
    cluster.onEnd(async () => void (await qemu.stop('SIGKILL')));
    const guest = new Guest(cluster, qemu);
    await guest.until(/guest is ready/, 60_000);
    return guest;
  }

  /** Waits until the guest has said something new that matches. Gives what it said up to there. */
  async until(pattern: RegExp, deadlineMs = 60_000): Promise<string> {
    return this.#cluster.until(
      `the guest says ${pattern}`,
      () => {
        const fresh = this.#qemu.text.slice(this.#read);
        const found = pattern.exec(fresh);
        if (found === null) {
          if (!this.#qemu.running) throw new Error(`the guest ended: ${this.#qemu.text.slice(-2_000)}`);
          return null;
        }
        const end = found.index + found[0].length;
        this.#read += end;
        return fresh.slice(0, end);
      },
      deadlineMs,
    );
  }

  /** Runs a line in the guest's shell; what it said. A line that fails is an error. */
  async run(line: string, deadlineMs?: number): Promise<string> {
    this.#qemu.child.stdin?.write(`${line}\n`);
    const said = await this.until(/ended with \d+/, deadlineMs);
    if (!said.endsWith('ended with 0')) throw new Error(`the guest's ${line}: ${said}`);
    return said;
  }

  /** As `run`, whatever the exit code. */
  async attempt(line: string, deadlineMs?: number): Promise<string> {
    this.#qemu.child.stdin?.write(`${line}\n`);
    return this.until(/ended with \d+/, deadlineMs);
  }

  /** Everything that it ever said. */
  get text(): string {
    return this.#qemu.text;
  }
}

/** Guests of this process so far: each has a folder of its own. */
let guests = 0;

/** Packs a system of busybox, the programs a test needs with their libraries, and the kernel's modules. */
function packInitramfs(directory: string, kernel: Kernel, kit: Kit): string {
  guests += 1;
  const root = path.join(directory, `guest-${guests}`);
  for (const folder of ['bin', 'sbin', 'proc', 'sys', 'dev', 'modules', 'etc', 'mnt', 'tmp']) {
    mkdirSync(path.join(root, folder), { recursive: true });
  }
  cpSync(programPath('busybox'), path.join(root, 'bin/busybox'));
  symlinkSync('busybox', path.join(root, 'bin/sh'));
  for (const program of kit.programs) {
    const file = programPath(program);
    cpSync(file, path.join(root, 'sbin', program), { dereference: true });
    // "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)", and the loader without an arrow.
    for (const [, library] of execFileSync('ldd', [file], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)) {
      if (library !== undefined) cpSync(library, path.join(root, library), { dereference: true });
    }
  }
  for (const [there, here] of kit.files ?? []) cpSync(here, path.join(root, there), { dereference: true });
  const files = moduleFiles(kernel.modules);
  const order = kit.modules.filter((name) => files.has(name));
  for (const name of order) cpSync(files.get(name) ?? '', path.join(root, 'modules', `${name}.ko`));
  writeFileSync(path.join(root, 'modules/order'), order.join('\n'));
  writeFileSync(path.join(root, 'init'), INIT, { mode: 0o755 });
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' });
  const packed = execFileSync(programPath('busybox'), ['cpio', '-o', '-H', 'newc'], {
    cwd: root,
    input: ['.', ...names].join('\n'),
    maxBuffer: 256 << 20,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const file = `${root}.cpio`;
  writeFileSync(file, packed);
  if (statSync(file).size === 0) throw new Error('the initramfs is empty');
  return file;
}
