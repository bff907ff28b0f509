/** Which machines count as virtual, by evidence as it was seen on machines of each kind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge, lookAround } from './virtual.ts';
import type { Evidence } from './virtual.ts';

const nothing: Evidence = {
  architecture: 'x64',
  flags: null,
  vendor: null,
  product: null,
  hypervisor: null,
  controlDomain: false,
  deviceTree: null,
  kernel: null,
  container: null,
};
const x86 = { ...nothing, flags: 'fpu vme sse sse2 ht syscall nx lm' };
const guest = { ...nothing, flags: 'fpu vme sse sse2 hypervisor lahf_lm' };
const arm = { ...nothing, architecture: 'arm64', flags: 'fp asimd evtstrm aes' };

const CASES: readonly (readonly [string, Evidence, boolean, RegExp])[] = [
  ['a server of iron', { ...x86, vendor: 'Dell Inc.', product: 'PowerEdge R650' }, false, /no flag/],
  ['a virtual machine of KVM', { ...guest, vendor: 'QEMU', product: 'Standard PC (Q35 + ICH9, 2009)' }, true, /flag/],
  ['a microVM without firmware tables', guest, true, /flag "hypervisor"/],
  ['a container on a virtual machine', { ...guest, container: 'docker' }, true, /in a container \(docker\)/],
  ['a container on iron', { ...x86, container: 'podman' }, false, /in a container \(podman\)/],
  ['a hypervisor that hides its flag', { ...x86, vendor: 'QEMU', product: 'Standard PC' }, true, /QEMU/],
  ['VMware', { ...x86, vendor: 'VMware, Inc.', product: 'VMware7,1' }, true, /VMware/],
  ['Hyper-V', { ...x86, vendor: 'Microsoft Corporation', product: 'Virtual Machine' }, true, /Hyper-V/],
  ['a Surface', { ...x86, vendor: 'Microsoft Corporation', product: 'Surface Laptop' }, false, /no flag/],
  ['WSL', { ...guest, kernel: 'Linux version 5.15.90.1-microsoft-standard-WSL2' }, true, /flag/],
  ["a Xen guest without the processor's flag", { ...x86, hypervisor: 'xen' }, true, /"xen"/],
  ['the control domain of Xen', { ...guest, hypervisor: 'xen', controlDomain: true }, false, /control domain/],
  ["a cloud's bare machine", { ...x86, vendor: 'Google', product: 'Google Compute Engine' }, false, /no flag/],
  ['Amazon, iron, Arm', { ...arm, vendor: 'Amazon EC2', product: 'm7g.metal' }, false, /m7g\.metal/],
  ['Amazon, virtual, Arm', { ...arm, vendor: 'Amazon EC2', product: 'm7g.large' }, true, /m7g\.large/],
  ['an Arm guest of QEMU', { ...arm, vendor: 'QEMU', product: 'KVM Virtual Machine' }, true, /QEMU/],
  ['an Arm guest with a device tree', { ...arm, deviceTree: 'linux,kvm' }, true, /linux,kvm/],
  ['an Arm board that says nothing', arm, true, /nothing tells/],
  ['nothing can be read at all', nothing, true, /nothing tells/],
];

for (const [name, evidence, virtual, why] of CASES) {
  test(`${name} counts as ${virtual ? 'virtual' : 'real'}`, () => {
    const judged = judge(evidence);
    assert.equal(judged.virtual, virtual, judged.why);
    assert.match(judged.why, why);
  });
}

test('looking around reads what is there and passes over what is not', () => {
  const files: Readonly<Record<string, string>> = {
    '/proc/cpuinfo': 'processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu hypervisor lm\n\nprocessor\t: 1\n',
    '/sys/class/dmi/id/sys_vendor': 'QEMU',
    '/.dockerenv': '',
  };
  const found = lookAround((path) => files[path] ?? null);
  assert.deepEqual(found, {
    ...nothing,
    architecture: process.arch,
    flags: 'fpu hypervisor lm',
    vendor: 'QEMU',
    container: 'docker',
  });
  assert.equal(judge(lookAround(() => null)).virtual, true);
});

test('this machine can be judged', () => {
  assert.ok(judge(lookAround()).why.length > 0, 'there is a reason');
});
