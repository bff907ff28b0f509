/** Internet addresses in bytes, and the checksum of what travels over IP: for packets of our own making. */
import { isIPv4, isIPv6 } from 'node:net';
import { Fault } from '../../base/fault.ts';

/** The 4 or 16 bytes of an address. Fault `refused` for what is none, a zone included. */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  if (!isIPv6(address) || address.includes('%')) throw new Fault('refused', `"${address}" is no IP address`);
  // The last four bytes may be written as an IPv4 address.
  const last = address.slice(address.lastIndexOf(':') + 1);
  const words = isIPv4(last)
    ? `${address.slice(0, -last.length)}${addressBytes(last)
        .toString('hex')
        .replace(/^(.{4})/, '$1:')}`
    : address;
  const [head, tail] = words.split('::').map((part) => (part === '' ? [] : part.split(':')));
  const left = head ?? [];
  const right = tail ?? [];
  const zeroes = Array.from({ length: 8 - left.length - right.length }, () => '0');
  const groups = [...left, ...(tail === undefined ? [] : zeroes), ...right];
  const bytes = Buffer.alloc(16);
  groups.forEach((group, index) => bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * index));
  return bytes;
}

/**
 * The checksum of TCP and ICMPv6 over `payload`, whose own checksum field is zero, and the pseudo-header of the IP version
 * of `source` (RFC 9293 section 3.1, RFC 8200 section 8.1).
 */
export function internetChecksum(source: Buffer, destination: Buffer, protocol: number, payload: Buffer): number {
  let sum = protocol + payload.length;
  for (const part of [source, destination, payload])
    for (let at = 0; at < part.length; at += 2) sum += (part[at]! << 8) | (part[at + 1] ?? 0);
  // Far fewer than 2^21 words: the sum is exact, and folds to 16 bits in a few steps.
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x1_0000);
  return ~sum & 0xffff;
}
