/** What commands, status and demo call a volume: how large it is, and how a client reaches it. */
import type { FilesVolumeConfig, VolumeConfig } from './config/load.ts';
import { formatAddress, formatBytes } from './config/units.ts';

/** `10 GiB`, or `files`: whose size is that of its medium. */
export function sizeWords(volume: VolumeConfig): string {
  return volume.type === 'files' ? 'files' : formatBytes(volume.sizeBytes);
}

/** The URI that clients of its protocol take. */
export function volumeUri(volume: VolumeConfig): string {
  const at = formatAddress(volume.address);
  if (volume.type === 'block') return `nbd://${at}/${volume.name}`;
  const { host, port } = volume.address;
  const server = host.includes(':') ? `[${host}]` : host;
  return `nfs://${server}/${volume.name}/?nfsport=${port}&mountport=${port}&version=3`;
}

/** The command with which a Linux client mounts a files volume at `at`. */
export function mountCommand(volume: FilesVolumeConfig, at: string): string {
  const { host, port } = volume.address;
  const server = host.includes(':') ? `[${host}]` : host;
  return `mount -t nfs -o vers=3,proto=tcp,port=${port},mountport=${port},nolock,hard ${server}:/${volume.name} ${at}`;
}
