/**
 * Is this machine a virtual one? Where a hypervisor can pause it, no clock of its own tells that it stood still, and a
 * lease proves nothing (design section 5): volumes that do not say how they want to be read are read `confirmed` there.
 *
 * The judgement is a pure function of the evidence; when in doubt a machine counts as virtual, which costs a round trip
 * for each batch of reads and never a stale one.
 */
import { readFileSync } from 'node:fs';

/** What was found; null where there is nothing to be read. */
export interface Evidence {
  /** The machine's architecture, as Node names it. */
  readonly architecture: string;
  /** Of /proc/cpuinfo: the line of the processor's abilities. */
  readonly flags: string | null;
  /** /sys/class/dmi/id: what the firmware says that the machine is. */
  readonly vendor: string | null;
  readonly product: string | null;
  /** /sys/hypervisor/type, and whether this is Xen's control domain, which is the machine itself. */
  readonly hypervisor: string | null;
  readonly controlDomain: boolean;
  /** /proc/device-tree/hypervisor/compatible, where firmware describes machines that way. */
  readonly deviceTree: string | null;
  /** /proc/version: some kernels are made for one hypervisor. */
  readonly kernel: string | null;
  /** What runs this process in a container, as far as it shows; a container can be frozen, but its clock goes on. */
  readonly container: string | null;
}

export interface Judgement {
  readonly virtual: boolean;
  /** The evidence that decided, as part of a sentence. */
  readonly why: string;
}

/** Firmware names that only virtual machines have. */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/\bQEMU\b|\bBochs\b|\bSeaBIOS\b/i, 'QEMU'],
  [/\bKVM\b/, 'KVM'],
  [/\bVMware\b/i, 'VMware'],
  [/\bVirtualBox\b|\binnotek\b/i, 'VirtualBox'],
  [/\bXen\b|\bHVM domU\b/i, 'Xen'],
  [/\bParallels\b/i, 'Parallels'],
  [/\bBHYVE\b/i, 'bhyve'],
  [/\bApple Virtualization\b/i, 'Apple Virtualization'],
  [/\bOpenStack\b/i, 'OpenStack'],
  [/\bGoogle Compute Engine\b/i, 'Google Compute Engine'],
  [/\bFirecracker\b/i, 'Firecracker'],
];

/** Whether a hypervisor can pause the machine that the evidence is of. */
export function judge(evidence: Evidence): Judgement {
  const { flags, hypervisor, controlDomain, deviceTree, kernel } = evidence;
  const inside = evidence.container === null ? '' : `, in a container (${evidence.container})`;
  const virtual = (why: string): Judgement => ({ virtual: true, why: why + inside });
  const real = (why: string): Judgement => ({ virtual: false, why: why + inside });
  if (controlDomain) return real("this is the control domain of Xen's own machine");
  if (hypervisor !== null) return virtual(`/sys/hypervisor names the hypervisor "${hypervisor}"`);
  if (hasFlag(flags)) return virtual('the processor has the flag "hypervisor"');
  if (deviceTree !== null) return virtual(`the device tree names the hypervisor "${deviceTree}"`);
  if (kernel !== null && /microsoft/i.test(kernel)) return virtual("the kernel is Microsoft's, for Windows machines");
  const named = firmwareName(evidence);
  if (named !== null) return virtual(named);
  // Every hypervisor of x86 machines sets that flag, unless it was told to hide.
  if (flags !== null && isX86(evidence.architecture)) return real('the processor has no flag "hypervisor"');
  const { vendor, product } = evidence;
  if (vendor !== null || product !== null)
    return real(`the firmware says "${[vendor, product].filter(Boolean).join(' ')}"`);
  return virtual('nothing tells whether it is virtual');
}

const isX86 = (architecture: string): boolean => architecture === 'x64' || architecture === 'ia32';
const hasFlag = (flags: string | null): boolean => flags !== null && /(^|\s)hypervisor(\s|$)/.test(flags);

function firmwareName({ architecture, flags, vendor, product }: Evidence): string | null {
  const words = [vendor, product].filter((word) => word !== null).join(' ');
  for (const [pattern, name] of NAMES) {
    // Clouds' bare machines name the cloud as well; there the processor's flag decides.
    const cloud = name === 'Google Compute Engine' || name === 'OpenStack';
    if (pattern.test(words) && !(cloud && flags !== null && isX86(architecture)))
      return `the firmware says "${words}" (${name})`;
  }
  if (vendor === 'Microsoft Corporation' && product === 'Virtual Machine')
    return `the firmware says "${words}" (Hyper-V)`;
  if (vendor === 'Amazon EC2' && product !== null && !product.endsWith('.metal') && !isX86(architecture))
    return `the firmware says "${words}" (Amazon EC2)`;
  return null;
}

/** Looks around on this machine. Nothing of it can fail: what cannot be read is absent. */
export function lookAround(read: (path: string) => string | null = readText): Evidence {
  const hypervisor = read('/sys/hypervisor/type');
  return {
    architecture: process.arch,
    flags: /^(?:flags|Features)\s*:\s*(.*)$/m.exec(read('/proc/cpuinfo') ?? '')?.[1] ?? null,
    vendor: read('/sys/class/dmi/id/sys_vendor'),
    product: read('/sys/class/dmi/id/product_name'),
    hypervisor,
    controlDomain: hypervisor === 'xen' && /\bcontrol_d\b/.test(read('/proc/xen/capabilities') ?? ''),
    deviceTree: read('/proc/device-tree/hypervisor/compatible'),
    kernel: read('/proc/version'),
    container: containerOf(read),
  };
}

function containerOf(read: (path: string) => string | null): string | null {
  if (read('/.dockerenv') !== null) return 'docker';
  if (read('/run/.containerenv') !== null) return 'podman';
  return read('/run/systemd/container');
}

/** The text at `path` without what pads it; null when there is none. An empty file is one. */
function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return null;
  }
}
