/**
 * Wakes up clients whose server is gone with all its machine ("tickle", as CTDB calls it). A client that only waits for
 * an answer sends nothing, and would learn after minutes that its connection is dead. A bare acknowledgement with wrong
 * numbers, from the address it knows, makes its system say where it stands (RFC 9293 section 3.10.7.4); that answer comes
 * to the machine that has the address now, which knows of no such connection and resets it; and the client reconnects.
 * A connection that is alive is not disturbed: its two ends agree again at once. Needs CAP_NET_RAW.
 */
import { closeSync } from 'node:fs';
import { faultOfErrno } from './errno.ts';
import { addressBytes, internetChecksum } from './internet.ts';
import { libc } from './libc.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
/** The packet begins with its IP header. */
const IPPROTO_RAW = 255;
const TCP = 6;
const ACK = 0x10;
const HOPS = 64;

/** One end of a connection. */
export interface End {
  /** An IP address. */
  readonly host: string;
  readonly port: number;
}

/** The packet: IP header and a TCP acknowledgement of nothing. Both ends are of one IP version. */
export function tickle(from: End, to: End): Buffer {
  const [source, destination] = [addressBytes(from.host), addressBytes(to.host)];
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(from.port, 0);
  tcp.writeUInt16BE(to.port, 2);
  tcp.writeUInt8((tcp.length / 4) << 4, 12);
  tcp.writeUInt8(ACK, 13);
  tcp.writeUInt16BE(1_024, 14);
  tcp.writeUInt16BE(internetChecksum(source, destination, TCP, tcp), 16);
  if (source.length === 16) {
    const head = Buffer.alloc(40);
    head.writeUInt8(6 << 4, 0);
    head.writeUInt16BE(tcp.length, 4);
    head.writeUInt8(TCP, 6);
    head.writeUInt8(HOPS, 7);
    source.copy(head, 8);
    destination.copy(head, 24);
    return Buffer.concat([head, tcp]);
  }
  const head = Buffer.alloc(20);
  head.writeUInt8(0x45, 0);
  head.writeUInt16BE(head.length + tcp.length, 2);
  head.writeUInt8(HOPS, 8);
  head.writeUInt8(TCP, 9);
  // The kernel fills in the header's own checksum.
  source.copy(head, 12);
  destination.copy(head, 16);
  return Buffer.concat([head, tcp]);
}

/**
 * Sends one to each of `clients` from the service address `from`; those of the other IP version are passed over. Throws a
 * Fault when it may not, or when not even the first can be sent.
 */
export function tickleAll(from: End, clients: readonly End[]): void {
  const six = from.host.includes(':');
  const wanted = clients.filter(({ host }) => host.includes(':') === six);
  if (wanted.length === 0) return;
  const library = libc();
  const fd = library.socket(six ? AF_INET6 : AF_INET, SOCK_RAW_CLOEXEC, IPPROTO_RAW);
  if (fd < 0) throw faultOfErrno(library.errno(), `Opening a raw socket to reset connections of ${from.host}`);
  try {
    let sent = 0;
    for (const to of wanted) {
      const packet = tickle(from, to);
      const address = socketAddress(to.host);
      if (library.sendto(fd, packet, packet.length, 0, address, address.length) >= 0) sent += 1;
      else if (sent === 0) throw faultOfErrno(library.errno(), `Resetting the connection of ${to.host}`);
    }
  } finally {
    closeSync(fd);
  }
}

/** struct sockaddr_in or sockaddr_in6; the port has no meaning for a raw socket and is zero. */
function socketAddress(host: string): Buffer {
  const ip = addressBytes(host);
  const address = Buffer.alloc(ip.length === 4 ? 16 : 28);
  address.writeUInt16LE(ip.length === 4 ? AF_INET : AF_INET6, 0);
  ip.copy(address, ip.length === 4 ? 4 : 8);
  return address;
}
