/** Sends one packet out of a network device, below IP: for what announces addresses. Needs CAP_NET_RAW. */
import { closeSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { Fault } from '../../base/fault.ts';
import { faultOfErrno } from './errno.ts';
import { libc } from './libc.ts';

const AF_PACKET = 17;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;

/** The hardware address of `device`, six bytes. Fault `missing` when there is no such device, or it has no address. */
export function hardwareAddress(device: string): Buffer {
  const mac = networkInterfaces()[device]?.[0]?.mac;
  if (mac === undefined) throw new Fault('missing', `there is no network device ${device}, or it has no address`);
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

/** Sends `packet` as an Ethernet frame of type `etherType` to `destination`. Throws a Fault; loses nothing when it does. */
export function sendFrame(device: string, etherType: number, destination: Buffer, packet: Buffer, what: string): void {
  const library = libc();
  const index = library.ifNameToIndex(device);
  if (index === 0) throw new Fault('missing', `there is no network device ${device}`);
  // Protocol 0 receives nothing: this socket only sends.
  const fd = library.socket(AF_PACKET, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) throw faultOfErrno(library.errno(), `Opening a packet socket (${what})`);
  try {
    // struct sockaddr_ll: family, protocol, device, hardware type, packet type, length of the address, address.
    const to = Buffer.alloc(20);
    to.writeUInt16LE(AF_PACKET, 0);
    to.writeUInt16BE(etherType, 2);
    to.writeInt32LE(index, 4);
    to.writeUInt8(destination.length, 11);
    destination.copy(to, 12);
    if (library.sendto(fd, packet, packet.length, 0, to, to.length) < 0)
      throw faultOfErrno(library.errno(), `${what} on ${device}`);
  } finally {
    closeSync(fd);
  }
}
