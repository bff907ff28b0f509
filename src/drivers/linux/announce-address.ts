/**
 * Says on a network that an address is now here, so that neighbours send to this machine at once instead of to the one
 * that had the address before: gratuitous ARP for IPv4 (RFC 5227 section 3, "ARP announcement"), an unsolicited
 * neighbour advertisement for IPv6 (RFC 4861 section 7.2.6). Needs CAP_NET_RAW.
 */
import { isIPv6 } from 'node:net';
import { addressBytes, internetChecksum } from './internet.ts';
import { hardwareAddress, sendFrame } from './packet-socket.ts';

const ETH_P_ARP = 0x0806;
const ETH_P_IPV6 = 0x86dd;
const HARDWARE_ETHERNET = 1;
const PROTOCOL_IPV4 = 0x0800;
const REQUEST = 1;
const BROADCAST = Buffer.alloc(6, 0xff);

const ICMPV6 = 58;
const NEIGHBOUR_ADVERTISEMENT = 136;
/** Not asked for; and what neighbours know already is overridden. */
const OVERRIDE = 0x2000_0000;
const TARGET_LINK_LAYER_ADDRESS = 2;
const ALL_NODES = 'ff02::1';
const ALL_NODES_HARDWARE = Buffer.from('333300000001', 'hex');

/** The 28 bytes of an ARP announcement: a request for one's own address that nobody is to answer. */
export function arpAnnouncement(address: string, hardware: Buffer): Buffer {
  const packet = Buffer.alloc(28);
  const ip = addressBytes(address);
  packet.writeUInt16BE(HARDWARE_ETHERNET, 0);
  packet.writeUInt16BE(PROTOCOL_IPV4, 2);
  packet.writeUInt8(6, 4);
  packet.writeUInt8(4, 5);
  packet.writeUInt16BE(REQUEST, 6);
  hardware.copy(packet, 8);
  ip.copy(packet, 14);
  ip.copy(packet, 24);
  return packet;
}

/** The 72 bytes of an IPv6 packet to all nodes of the network: `address` is at `hardware`, whatever was known before. */
export function neighbourAdvertisement(address: string, hardware: Buffer): Buffer {
  const [source, all] = [addressBytes(address), addressBytes(ALL_NODES)];
  const icmp = Buffer.alloc(32);
  icmp.writeUInt8(NEIGHBOUR_ADVERTISEMENT, 0);
  icmp.writeUInt32BE(OVERRIDE, 4);
  source.copy(icmp, 8);
  icmp.writeUInt8(TARGET_LINK_LAYER_ADDRESS, 24);
  // In units of 8 bytes.
  icmp.writeUInt8(1, 25);
  hardware.copy(icmp, 26);
  icmp.writeUInt16BE(internetChecksum(source, all, ICMPV6, icmp), 2);
  const head = Buffer.alloc(40);
  head.writeUInt8(6 << 4, 0);
  head.writeUInt16BE(icmp.length, 4);
  head.writeUInt8(ICMPV6, 6);
  // Neighbours believe nothing that a router may have passed on.
  head.writeUInt8(255, 7);
  source.copy(head, 8);
  all.copy(head, 24);
  return Buffer.concat([head, icmp]);
}

/** Sends one announcement of `address` out of `device`. Throws a Fault; loses nothing when it does. */
export function announceAddress(address: string, device: string): void {
  const hardware = hardwareAddress(device);
  const what = `Announcing ${address}`;
  if (isIPv6(address))
    sendFrame(device, ETH_P_IPV6, ALL_NODES_HARDWARE, neighbourAdvertisement(address, hardware), what);
  else sendFrame(device, ETH_P_ARP, BROADCAST, arpAnnouncement(address, hardware), what);
}
