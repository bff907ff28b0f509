/**
 * Who may use a volume: client addresses against the networks of its export. Addresses are compared as bytes; IPv4 in
 * IPv6 clothes (::ffff:192.0.2.1), as a listener on both families reports it, is IPv4.
 */
import net from 'node:net';
import type { Network } from './program.ts';

const MAPPED = '::ffff:';

/** An address as it is compared and shown: without IPv6 clothes and zone. */
export function plainAddress(address: string): string {
  const [bare = ''] = address.split('%', 1);
  const inner = bare.toLowerCase().startsWith(MAPPED) ? bare.slice(MAPPED.length) : '';
  return net.isIPv4(inner) ? inner : bare;
}

/** The bytes of an IP address, 4 or 16; null when it is none. */
export function addressBytes(address: string): Buffer | null {
  const plain = plainAddress(address);
  if (net.isIPv4(plain)) return Buffer.from(plain.split('.').map(Number));
  return net.isIPv6(plain) ? ipv6Bytes(plain) : null;
}

function ipv6Bytes(address: string): Buffer {
  const [head = '', tail] = address.split('::', 2);
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const words = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
  const bytes = Buffer.alloc(16);
  words.forEach((word, i) => bytes.writeUInt16BE(word, 2 * i));
  return bytes;
}

/** The 16-bit groups of a part of an IPv6 address; its end may be written as IPv4. */
function groups(part: string): number[] {
  return part
    .split(':')
    .filter((group) => group !== '')
    .flatMap((group) => {
      if (!group.includes('.')) return [Number.parseInt(group, 16)];
      const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
      return [a * 256 + b, c * 256 + d];
    });
}

/** Whether the address lies in one of the networks; with no networks at all it does. What is no address does not. */
export function allowed(address: string, networks: readonly Network[]): boolean {
  if (networks.length === 0) return true;
  const bytes = addressBytes(address);
  return bytes !== null && networks.some((network) => lies(bytes, network));
}

function lies(bytes: Buffer, { bytes: network, prefix }: Network): boolean {
  if (bytes.length !== network.length) return false;
  const whole = prefix >> 3;
  for (let i = 0; i < whole; i++) if (bytes[i] !== network[i]) return false;
  const rest = prefix & 7;
  return rest === 0 || (bytes[whole]! ^ network[whole]!) >> (8 - rest) === 0;
}

/** A network as a person writes it. */
export function networkText({ family, bytes, prefix }: Network): string {
  if (family === 4) return `${[...bytes].join('.')}/${prefix}`;
  const words = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  return `${words.join(':')}/${prefix}`;
}
