/**
 * What tests need beside Node: the programs of Debian packages, root, devices. A test that lacks something is not run
 * and says so; `npm test` lists all of these at its end, and CI installs everything.
 *
 *     test('qemu-img copies an image', { skip: needs(['qemu-img']) }, async () => { ... });
 */
import { accessSync, constants, existsSync, openSync, closeSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Which Debian package brings which program. scripts/setup-debian.sh installs these. */
const PACKAGES = {
  nbdinfo: 'libnbd-bin',
  nbdcopy: 'libnbd-bin',
  nbdfuse: 'libnbd-bin',
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  'qemu-storage-daemon': 'qemu-system-common',
  'qemu-system-x86_64': 'qemu-system-x86',
  busybox: 'busybox-static',
  fio: 'fio',
  fusermount3: 'fuse3',
  nbdkit: 'nbdkit',
  'nbd-client': 'nbd-client',
  'mkfs.ext4': 'e2fsprogs',
  e2fsck: 'e2fsprogs',
  'fsck.ext4': 'e2fsprogs',
  ip: 'iproute2',
  mount: 'mount',
  umount: 'mount',
  losetup: 'mount',
  gcc: 'gcc',
  tar: 'tar',
  ls: 'coreutils',
  git: 'git',
  sg_persist: 'sg3-utils',
  sqlite3: 'sqlite3',
  'nfs-ls': 'libnfs-utils',
  'nfs-cp': 'libnfs-utils',
  'nfs-cat': 'libnfs-utils',
  rpcbind: 'rpcbind',
  rpcinfo: 'rpcbind',
  showmount: 'nfs-common',
  unshare: 'util-linux',
} as const;

/** A program that tests may ask for. */
export type Program = keyof typeof PACKAGES;

/** What else a test may need of the machine. */
export interface Privileges {
  /** Mounting, loop devices. */
  readonly root?: boolean;
  /** Devices that can be opened for reading and writing, such as `/dev/fuse`. */
  readonly devices?: readonly string[];
}

/** How every reason of `needs` begins: `npm test` collects its list by it. */
export const NEEDS = 'needs ';

/** The value for a test's `skip`: false when everything is there, else the reason as a sentence for a person. */
export function needs(programs: readonly Program[], privileges: Privileges = {}): string | false {
  const missing = programs.filter((program) => findProgram(program) === null);
  if (missing.length > 0) {
    const packages = [...new Set(missing.map((program) => PACKAGES[program]))];
    return `${NEEDS}${missing.join(', ')} (Debian: ${packages.join(', ')}): npm run setup:debian`;
  }
  if (privileges.root === true && process.getuid?.() !== 0) return `${NEEDS}root: run as root`;
  for (const device of privileges.devices ?? []) {
    if (!canOpen(device)) return `${NEEDS}${device}, which cannot be opened on this machine`;
  }
  return false;
}

/** The full path of a program, also one in a system folder that is not on a user's PATH; throws when it is missing. */
export function programPath(program: Program): string {
  const found = findProgram(program);
  if (found === null)
    throw new Error(`${program} is not installed: a test that runs it begins with needs(['${program}'])`);
  return found;
}

/** The folder of package.json, from the sources and from dist/ alike. */
export function repositoryRoot(): string {
  let folder = path.dirname(fileURLToPath(import.meta.url));
  while (!existsSync(path.join(folder, 'package.json'))) {
    const up = path.dirname(folder);
    if (up === folder) throw new Error('there is no package.json above this file');
    folder = up;
  }
  return folder;
}

function findProgram(program: Program): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(path.delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  for (const folder of folders) {
    if (folder === '') continue;
    const candidate = path.join(folder, program);
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      // not here
    }
  }
  return null;
}

function canOpen(device: string): boolean {
  try {
    closeSync(openSync(device, 'r+'));
    return true;
  } catch {
    return false;
  }
}
