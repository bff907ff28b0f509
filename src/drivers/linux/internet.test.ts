/** Packets of our own making, byte by byte. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arpAnnouncement, neighbourAdvertisement } from './announce-address.ts';
import { addressBytes, internetChecksum } from './internet.ts';
import { tickle } from './tickle.ts';

const HARDWARE = Buffer.from('020000aabbcc', 'hex');

test('addresses in bytes', () => {
  for (const [text, hex] of [
    ['10.1.2.255', '0a0102ff'],
    ['::', '0'.repeat(32)],
    ['::1', `${'0'.repeat(31)}1`],
    ['fd00::1:2', 'fd000000000000000000000000010002'],
    ['2001:db8:1:2:3:4:5:6', '20010db8000100020003000400050006'],
    ['2001:db8::', '20010db8000000000000000000000000'],
    ['::ffff:10.1.2.3', '00000000000000000000ffff0a010203'],
  ] as const)
    assert.equal(addressBytes(text).toString('hex'), hex, text);
  assert.throws(() => addressBytes('fe80::1%eth0'), /no IP address/);
  assert.throws(() => addressBytes('host'), /no IP address/);
});

test('an ARP announcement is a request for its own address', () => {
  const packet = arpAnnouncement('10.1.2.3', HARDWARE);
  assert.equal(packet.toString('hex'), '0001080006040001020000aabbcc0a0102030000000000000a010203');
});

/** A packet whose checksum is right sums up to nothing. */
const isSummed = (packet: Buffer, head: number, protocol: number): boolean => {
  const [source, destination] =
    head === 40
      ? [packet.subarray(8, 24), packet.subarray(24, 40)]
      : [packet.subarray(12, 16), packet.subarray(16, 20)];
  return internetChecksum(source, destination, protocol, packet.subarray(head)) === 0;
};

test('a neighbour advertisement goes to all nodes and overrides what they know', () => {
  const packet = neighbourAdvertisement('fd00::9', HARDWARE);
  assert.equal(packet.length, 72);
  assert.equal(packet.subarray(0, 8).toString('hex'), '6000000000203aff');
  assert.equal(packet.subarray(24, 40).toString('hex'), 'ff020000000000000000000000000001');
  assert.equal(packet.subarray(40, 42).toString('hex'), '8800');
  assert.equal(packet.subarray(44).toString('hex'), '20000000fd0000000000000000000000000000090201020000aabbcc');
  assert.ok(isSummed(packet, 40, 58), 'the checksum is right');
});

test('a tickle acknowledges nothing, from the service address to the client, in both IP versions', () => {
  const four = tickle({ host: '10.0.0.9', port: 10_809 }, { host: '10.0.0.3', port: 50_000 });
  assert.equal(four.subarray(0, 20).toString('hex'), '450000280000000040060000' + '0a000009' + '0a000003');
  assert.equal(four.subarray(20, 36).toString('hex'), '2a39c350' + '00000000' + '00000000' + '50100400');
  assert.ok(isSummed(four, 20, 6), 'the checksum is right');
  const six = tickle({ host: 'fd00::9', port: 10_809 }, { host: 'fd00::3', port: 50_000 });
  assert.equal(six.subarray(0, 8).toString('hex'), '6000000000140640');
  assert.ok(isSummed(six, 40, 6), 'the checksum is right');
});
