/**
 * Says on a network that an IPv4 address is now here (gratuitous ARP, RFC 5227 section 3, "ARP announcement"), so that
 * neighbours send to this machine at once instead of to the one that had the address before. Needs CAP_NET_RAW.
 */
import { closeSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { Fault } from '../../base/fault.ts';
import { faultOfErrno } from './errno.ts';
import { libc } from './libc.ts';

const AF_PACKET = 17;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const ETH_P_ARP = 0x0806;
const HARDWARE_ETHERNET = 1;
const PROTOCOL_IPV4 = 0x0800;
const REQUEST = 1;
const BROADCAST = Buffer.alloc(6, 0xff);

/** The 28 bytes of an announcement: a request for one's own address that nobody is to answer. */
export function announcement(address: string, hardware: string): Buffer {
  const packet = Buffer.alloc(28);
  const ip = Buffer.from(address.split('.').map(Number));
  packet.writeUInt16BE(HARDWARE_ETHERNET, 0);
  packet.writeUInt16BE(PROTOCOL_IPV4, 2);
  packet.writeUInt8(6, 4);
  packet.writeUInt8(4, 5);
  packet.writeUInt16BE(REQUEST, 6);
  Buffer.from(hardware.replaceAll(':', ''), 'hex').copy(packet, 8);
  ip.copy(packet, 14);
  ip.copy(packet, 24);
  return packet;
}

/** Sends one announcement of `address` out of `device`. Throws a Fault; loses nothing when it does. */
export function announceAddress(address: string, device: string): void {
  const hardware = networkInterfaces()[device]?.[0]?.mac;
  if (hardware === undefined) throw new Fault('missing', `there is no network device ${device}, or it has no address`);
  const library = libc();
  const index = library.ifNameToIndex(device);
  if (index === 0) throw new Fault('missing', `there is no network device ${device}`);
  const fd = library.socket(AF_PACKET, SOCK_DGRAM_CLOEXEC, swap16(ETH_P_ARP));
  if (fd < 0) throw faultOfErrno(library.errno(), `Opening a packet socket to announce ${address}`);
  try {
    // struct sockaddr_ll: family, protocol, device, hardware type, packet type, length of the address, address.
    const to = Buffer.alloc(20);
    to.writeUInt16LE(AF_PACKET, 0);
    to.writeUInt16BE(ETH_P_ARP, 2);
    to.writeInt32LE(index, 4);
    to.writeUInt8(BROADCAST.length, 11);
    BROADCAST.copy(to, 12);
    const packet = announcement(address, hardware);
    if (library.sendto(fd, packet, packet.length, 0, to, to.length) < 0)
      throw faultOfErrno(library.errno(), `Announcing ${address} on ${device}`);
  } finally {
    closeSync(fd);
  }
}

const swap16 = (value: number): number => ((value & 0xff) << 8) | (value >>> 8);
