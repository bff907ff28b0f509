/**
 * A files volume mounted by the Linux kernel's own NFS client, in a guest: the volume of a test's cluster, the guest with
 * the programs that work on it, the mount.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { Volume, VolumeOptions } from '../cluster-config.ts';
import type { Cluster } from '../cluster.ts';
import { Guest, HOST_FROM_GUEST, needsGuest, NFS_KIT } from '../guest.ts';
import { type Program, repositoryRoot } from '../programs.ts';
import { run } from '../run.ts';

/** Real programs that tests run in the guest. */
const PROGRAMS = ['git', 'sqlite3', 'tar', 'ls'] as const satisfies readonly Program[];
/** Programs of ours, beside this file, for what no stock program does. */
const SOURCES = ['posix', 'exercise'] as const;
const SCRIPTS = ['git.sh', 'sqlite.sh', 'unpack.sh'] as const;

/** A files volume whose clients' root is root: what a guest's programs need. */
export const FILES: VolumeOptions = {
  name: 'files',
  servers: ['a', 'b'],
  files: ['squash = "none"'],
  capacityMib: 64,
};

export const needsMount = (): string | false => needsGuest({ ...NFS_KIT, programs: PROGRAMS }, ['gcc']);

/** The words of `mount` for a guest; the address is what stock mount.nfs would find out. */
export function mountLine(volume: Volume, at: string, more = ''): string {
  const { port } = volume;
  const options = `vers=3,proto=tcp,port=${port},mountport=${port},nolock,hard,addr=${HOST_FROM_GUEST}${more}`;
  return `mkdir -p ${at} && mount -t nfs -o ${options} ${HOST_FROM_GUEST}:/${volume.name} ${at}`;
}

/** Boots a guest that has mounted the volume at /mnt/files; `more`: files that it has beside its programs. */
export async function bootMounted(
  cluster: Cluster,
  volume: Volume,
  more: readonly (readonly [there: string, here: string])[] = [],
): Promise<Guest> {
  const folder = path.join(cluster.directory, 'programs');
  mkdirSync(folder, { recursive: true });
  const files = new Map(more);
  for (const name of SOURCES) {
    const program = path.join(folder, name);
    await run('gcc', '-O1', '-static', '-o', program, path.join(repositoryRoot(), 'e2e/nfs', `${name}.c`));
    files.set(`bin/${name}`, program);
  }
  for (const name of SCRIPTS) files.set(`bin/${name}`, path.join(repositoryRoot(), 'e2e/nfs', name));
  const guest = await Guest.boot(cluster, { ...NFS_KIT, programs: PROGRAMS, files });
  await guest.run('dmesg -n 1; export HOME=/tmp PATH=/sbin:/bin');
  await guest.run(mountLine(volume, '/mnt/files'));
  return guest;
}
