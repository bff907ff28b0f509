/**
 * What a volume's type asks of its other keys: a block volume has a size, a files volume has a directory and says how it
 * is exported.
 */
import { called, isTable, list, text } from './raw.ts';
import type { Finding, Table } from './raw.ts';

/** Finds keys that do not go with the type of their volume. */
export function checkTypes(volumes: readonly Table[], media: readonly Table[]): Finding[] {
  const findings = volumes.flatMap((volume, index) =>
    text(volume, 'type') === 'files' ? checkFiles(volume, index, media) : checkBlock(volume, index),
  );
  return [...findings, ...checkPortmapper(volumes)];
}

function checkBlock(volume: Table, index: number): Finding[] {
  const type = volume['type'] ?? 'block';
  // Of another type, which the schema refuses, nothing is known.
  if (type !== 'block') return [];
  const findings: Finding[] = [];
  if (volume['size'] === undefined) findings.push({ path: ['volume', index], text: 'the key "size" is missing' });
  if (volume['export'] !== undefined) {
    const sentence = 'a block volume has no [volume.export]: that is for `type = "files"`';
    findings.push({ path: ['volume', index, 'export'], text: sentence });
  }
  return findings;
}

function checkFiles(volume: Table, index: number, media: readonly Table[]): Finding[] {
  const findings: Finding[] = [];
  if (volume['size'] !== undefined) {
    const sentence = 'a files volume has no size: it may use all the room of its medium';
    findings.push({ path: ['volume', index, 'size'], text: sentence });
  }
  const at = media.findIndex((medium) => text(medium, 'name') === text(volume, 'medium'));
  const medium = media[at];
  if (medium !== undefined && text(medium, 'driver') === 'image') {
    const sentence = `a files volume needs a \`directory\` medium: ${called('medium', medium, at)} is an image`;
    findings.push({ path: ['volume', index, 'medium'], text: sentence });
  }
  return findings;
}

/** A portmapper knows one port for NFS, so that volumes that may be owned by one server cannot both have it. */
function checkPortmapper(volumes: readonly Table[]): Finding[] {
  const taken = new Map<string, string>();
  return volumes.flatMap((volume, index): Finding[] => {
    const table = volume['export'];
    if (!isTable(table) || table['portmapper'] !== true) return [];
    const servers = list(volume, 'servers').filter((server) => server !== null);
    const clash = servers.find((server) => taken.has(server));
    const other = clash === undefined ? null : taken.get(clash);
    for (const server of servers) taken.set(server, called('volume', volume, index));
    if (clash === undefined) return [];
    const sentence = `the portmapper of server "${clash}" may have to name ${other} already: one volume of a server can have it`;
    return [{ path: ['volume', index, 'export', 'portmapper'], text: sentence }];
  });
}
