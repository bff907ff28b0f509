/**
 * The notations of the configuration file: sizes with a binary unit, durations, addresses. Each parser returns the
 * value or a sentence that says what is wrong, so that the reader of a mistake is never left to guess.
 */

import { isIP } from 'node:net';

/** The outcome of reading one notation: a value, or a sentence about the mistake. */
export type Notation<T> =
  | { readonly value: T; readonly mistake: null }
  | { readonly value: null; readonly mistake: string };

const good = <T>(value: T): Notation<T> => ({ value, mistake: null });
const bad = (mistake: string): Notation<never> => ({ value: null, mistake });

const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ['B', 1],
  ['KiB', 2 ** 10],
  ['MiB', 2 ** 20],
  ['GiB', 2 ** 30],
  ['TiB', 2 ** 40],
]);

/** Reads `"64MiB"`: a number, not negative, and a binary unit. The result is a whole number of bytes. */
export function parseSize(text: string): Notation<number> {
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text);
  if (match === null) return bad(`"${text}" is not a size: write a number and a unit, as in "64MiB"`);
  const unit = SIZE_UNITS.get(match[2] ?? '');
  if (unit === undefined) {
    const named = match[2] === '' ? 'has no unit' : `has the unit "${match[2]}"`;
    return bad(`the size "${text}" ${named}: use B, KiB, MiB, GiB or TiB`);
  }
  const bytes = Number(match[1]) * unit;
  if (!Number.isSafeInteger(bytes)) return bad(`the size "${text}" is not a whole number of bytes below 8192 TiB`);
  return good(bytes);
}

const DURATION_UNITS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
]);

/** Reads `"50ms"`, `"2s"`, `"1.5m"`; the result is in milliseconds, above 0 and at most a day. */
export function parseDuration(text: string): Notation<number> {
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text);
  if (match === null) return bad(`"${text}" is not a duration: write a number and a unit, as in "50ms" or "2s"`);
  const unit = DURATION_UNITS.get(match[2] ?? '');
  if (unit === undefined) {
    const named = match[2] === '' ? 'has no unit' : `has the unit "${match[2]}"`;
    return bad(`the duration "${text}" ${named}: use ms, s, m or h`);
  }
  const ms = Number(match[1]) * unit;
  if (ms <= 0) return bad(`the duration "${text}" must be longer than nothing`);
  if (ms > 86_400_000) return bad(`the duration "${text}" is longer than a day`);
  return good(ms);
}

/** A place to listen at or connect to. */
export interface Address {
  /** An IP address or a host name; an IPv6 address without its brackets. */
  readonly host: string;
  readonly port: number;
}

/** Reads `"10.0.0.1:7000"`, `"[::1]:7000"` or `"storage-a:7000"`. */
export function parseAddress(text: string): Notation<Address> {
  const match = /^(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:[\]\s]+)):(\d+)$/.exec(text);
  if (match === null) return bad(`"${text}" is not an address: write host:port, as in "10.0.0.1:7000" or "[::1]:7000"`);
  const port = Number(match[3]);
  if (port < 1 || port > 65_535) return bad(`the port of "${text}" is not between 1 and 65535`);
  const host = match[1] ?? match[2] ?? '';
  if (/^[\d.]+$/.test(host) && !isIpv4(host)) return bad(`"${host}" in "${text}" is not an IP address`);
  return good({ host, port });
}

function isIpv4(host: string): boolean {
  const parts = host.split('.');
  return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
}

/** A network of IP addresses, or one address alone. */
export interface Network {
  /** As it was written. */
  readonly text: string;
  readonly family: 4 | 6;
  /** Its first address: 4 or 16 bytes. */
  readonly bytes: readonly number[];
  /** How many leading bits all of its addresses share: up to 32 or 128. */
  readonly prefix: number;
}

/** Reads `"10.0.0.0/16"`, `"192.168.1.7"`, `"2001:db8::/48"`. An address inside a network is a mistake: which was meant? */
export function parseNetwork(text: string): Notation<Network> {
  const [address = '', length, ...more] = text.split('/');
  const bytes = more.length > 0 ? null : addressBytes(address);
  if (bytes === null) return bad(`"${text}" is not a network: write an address and a length, as in "10.0.0.0/16"`);
  const most = bytes.length * 8;
  const prefix = length === undefined ? most : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (!(prefix <= most)) return bad(`the length of the network "${text}" is not between 0 and ${most}`);
  const isInside = bytes.some((byte, index) => {
    const shared = Math.min(8, Math.max(0, prefix - index * 8));
    return (byte & (0xff >> shared)) !== 0;
  });
  if (isInside)
    return bad(`"${text}" is an address inside a network of ${prefix} bits: name the network, or the address alone`);
  return good({ text, family: bytes.length === 4 ? 4 : 6, bytes, prefix });
}

/** The 4 or 16 bytes of an IP address; null when it is none. */
function addressBytes(text: string): readonly number[] | null {
  if (isIP(text) === 4) return text.split('.').map(Number);
  if (isIP(text) !== 6 || text.includes('%')) return null;
  // The URL standard's form: without an IPv4 part, in hexadecimal.
  const [front = '', rear] = new URL(`http://[${text}]`).hostname.slice(1, -1).split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
  const [head, tail] = [groups(front), groups(rear ?? '')];
  const all = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  return all.flatMap((group) => [group >> 8, group & 0xff]);
}

/** Reads permissions in octal: `"0755"`, `"2775"`. */
export function parseMode(text: string): Notation<number> {
  if (/^0?[0-7]{3,4}$/.test(text) && Number.parseInt(text, 8) <= 0o7777) return good(Number.parseInt(text, 8));
  return bad(`"${text}" are no permissions: write them in octal, as in "0755"`);
}

/** Writes an address as `parseAddress` reads it. */
export function formatAddress(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Bytes for people: `0 B`, `4.0 KiB`, `64 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 'B';
  for (const next of ['KiB', 'MiB', 'GiB', 'TiB']) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  if (unit === 'B' || value >= 100 || Number.isInteger(value)) return `${Math.round(value)} ${unit}`;
  return `${value.toFixed(1)} ${unit}`;
}

/** Milliseconds for people: `0.4 ms`, `85 ms`, `1.2 s`, `3 min`. */
export function formatMs(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)} s`;
  return `${Math.round(ms / 60_000)} min`;
}
