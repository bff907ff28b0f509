/**
 * The MOUNT protocol, version 3 (RFC 1813, appendix I): how a client gets the handle of a volume's root. Lists are
 * chains on the wire and arrays here; both have bounds when they are read.
 */
import { opaqueBytes, XdrReader, XdrWriter } from './xdr.ts';

export const MOUNT_PROGRAM = 100_005;
export const MOUNT_VERSION = 3;

/** Procedures by number. */
export const MountProcedure = { null: 0, mnt: 1, dump: 2, umnt: 3, umntall: 4, export: 5 } as const;
export const LAST_MOUNT_PROCEDURE = 5;

export const MAX_PATH_BYTES = 1024;
export const MAX_MOUNT_NAME_BYTES = 255;
const MAX_HANDLE_BYTES = 64;

/** mountstat3. */
export const MountStatus = {
  ok: 0,
  perm: 1,
  noent: 2,
  io: 5,
  acces: 13,
  notdir: 20,
  inval: 22,
  nametoolong: 63,
  notsupp: 10_004,
  serverfault: 10_006,
} as const;
export type MountStatus = (typeof MountStatus)[keyof typeof MountStatus];
const KNOWN_STATUS: ReadonlySet<number> = new Set(Object.values(MountStatus));

/** The result of MNT. */
export type MntResult =
  | { readonly status: typeof MountStatus.ok; readonly handle: Buffer; readonly flavors: readonly number[] }
  | { readonly status: Exclude<MountStatus, typeof MountStatus.ok> };

/** One line of DUMP: who mounted what. */
export interface MountEntry {
  readonly host: Buffer;
  readonly directory: Buffer;
}

/** One line of EXPORT: what is exported to whom; no groups: to everybody. */
export interface ExportEntry {
  readonly directory: Buffer;
  readonly groups: readonly Buffer[];
}

/** The argument of MNT and UMNT; null when it is not valid. */
export function readPath(xdr: XdrReader): Buffer | null {
  const path = xdr.opaque(MAX_PATH_BYTES);
  return xdr.bad || xdr.left > 0 ? null : path;
}

export function encodePath(path: Buffer): Buffer {
  const xdr = new XdrWriter().reset(Buffer.alloc(opaqueBytes(path.length)));
  xdr.opaque(path);
  return xdr.done();
}

export function encodeMnt(result: MntResult): Buffer {
  const room = result.status === MountStatus.ok ? 8 + opaqueBytes(result.handle.length) + 4 * result.flavors.length : 4;
  const xdr = new XdrWriter().reset(Buffer.alloc(room));
  xdr.u32(result.status);
  if (result.status !== MountStatus.ok) return xdr.done();
  xdr.opaque(result.handle);
  xdr.u32(result.flavors.length);
  for (const flavor of result.flavors) xdr.u32(flavor);
  return xdr.done();
}

export function decodeMnt(bytes: Buffer): MntResult | null {
  const xdr = new XdrReader().reset(bytes);
  const status = xdr.u32();
  if (!KNOWN_STATUS.has(status)) return null;
  if (status !== MountStatus.ok) {
    const failed = status as Exclude<MountStatus, typeof MountStatus.ok>;
    return xdr.bad || xdr.left > 0 ? null : { status: failed };
  }
  const handle = xdr.opaque(MAX_HANDLE_BYTES);
  const flavors: number[] = [];
  for (let left = xdr.u32(); left > 0 && !xdr.bad; left--) flavors.push(xdr.u32());
  return xdr.bad || xdr.left > 0 ? null : { status: MountStatus.ok, handle, flavors };
}

export function encodeDump(entries: readonly MountEntry[]): Buffer {
  let room = 4;
  for (const { host, directory } of entries) room += 4 + opaqueBytes(host.length) + opaqueBytes(directory.length);
  const xdr = new XdrWriter().reset(Buffer.alloc(room));
  for (const { host, directory } of entries) {
    xdr.u32(1);
    xdr.opaque(host);
    xdr.opaque(directory);
  }
  xdr.u32(0);
  return xdr.done();
}

export function decodeDump(bytes: Buffer): MountEntry[] | null {
  const xdr = new XdrReader().reset(bytes);
  const entries: MountEntry[] = [];
  while (xdr.bool()) {
    entries.push({ host: xdr.opaque(MAX_MOUNT_NAME_BYTES), directory: xdr.opaque(MAX_PATH_BYTES) });
  }
  return xdr.bad || xdr.left > 0 ? null : entries;
}

export function encodeExport(entries: readonly ExportEntry[]): Buffer {
  let room = 4;
  for (const { directory, groups } of entries) {
    room += 8 + opaqueBytes(directory.length);
    for (const group of groups) room += 4 + opaqueBytes(group.length);
  }
  const xdr = new XdrWriter().reset(Buffer.alloc(room));
  for (const { directory, groups } of entries) {
    xdr.u32(1);
    xdr.opaque(directory);
    for (const group of groups) {
      xdr.u32(1);
      xdr.opaque(group);
    }
    xdr.u32(0);
  }
  xdr.u32(0);
  return xdr.done();
}

export function decodeExport(bytes: Buffer): ExportEntry[] | null {
  const xdr = new XdrReader().reset(bytes);
  const entries: ExportEntry[] = [];
  while (xdr.bool()) {
    const directory = xdr.opaque(MAX_PATH_BYTES);
    const groups: Buffer[] = [];
    while (xdr.bool()) groups.push(xdr.opaque(MAX_MOUNT_NAME_BYTES));
    entries.push({ directory, groups });
  }
  return xdr.bad || xdr.left > 0 ? null : entries;
}
