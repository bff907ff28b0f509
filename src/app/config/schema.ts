/**
 * The configuration file's schema: every table and key, its notation, default and meaning. One file describes the
 * whole cluster and is the same on every server. The texts here are the source of docs/configuration.md
 * (`reference.ts`), and nothing that is not listed here is accepted.
 */
import { z } from 'zod';
import { DEFAULT_TIMINGS } from '../../core/settings.ts';
import type { Timings } from '../../core/settings.ts';
import { MAX_VERSION, MIN_VERSION } from '../../wire/link-conversation.ts';
import { parseAddress, parseDuration, parseMode, parseNetwork, parseSize } from './units.ts';
import type { Notation } from './units.ts';

/** A string in one of our notations, turned into its value. */
function notation<T>(parse: (text: string) => Notation<T>, title: string) {
  return z
    .string()
    .transform((text, context) => {
      const read = parse(text);
      if (read.mistake === null) return read.value;
      context.addIssue({ code: 'custom', message: read.mistake });
      return z.NEVER;
    })
    .meta({ title });
}

const size = notation(parseSize, 'size');
const duration = notation(parseDuration, 'duration');
const address = notation(parseAddress, 'address');
const network = notation(parseNetwork, 'network');
const mode = notation(parseMode, 'mode');

const name = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/,
    'a name has 1 to 32 letters, digits, "-" or "_", and begins with a letter or digit',
  )
  .meta({ title: 'name' });

const path = z.string().min(1, 'a path cannot be empty').meta({ title: 'path' });

/** A volume's size, in bytes: what every client and every medium can address. */
const blockSize = size.refine(
  (bytes) => bytes > 0 && bytes % 4_096 === 0,
  'the size of a volume is a multiple of 4 KiB, above 0',
);

/** The least a store must hold: several of the largest requests, so that one write can never fill it alone. */
export const LEAST_STORE_BYTES = 16 * 2 ** 20;
/** The most a store may hold: the operations of a store are kept in memory as well. */
export const MOST_STORE_BYTES = 64 * 2 ** 30;

const capacity = size.refine(
  (bytes) => bytes >= LEAST_STORE_BYTES && bytes <= MOST_STORE_BYTES,
  'the capacity of a store lies between 16MiB and 64GiB',
);

const cluster = z
  .strictObject({
    id: name.meta({
      description: 'Name of the cluster. Servers of another cluster are turned away.',
      example: 'archive',
    }),
    'key-file': path.meta({
      description:
        'File that holds the secret shared by all servers and by whoever administers them: at least 32 bytes, readable by its owner only. Make one with `openssl rand -hex 32`.',
      example: '/etc/holdfast/cluster.key',
    }),
  })
  .meta({ description: 'What all servers have in common.' });

const coordinator = z
  .strictObject({
    driver: z
      .literal('directory')
      .default('directory')
      .meta({ description: 'Where the records are kept: in a directory that all servers reach.' }),
    medium: name.optional().meta({
      description: 'The `directory` medium that the records are kept on, beside its volumes.',
      example: 'shared',
    }),
    path: path.optional().meta({
      description: 'A directory of its own for the records, instead of `medium`.',
      example: '/mnt/shared/records',
    }),
  })
  .meta({
    description:
      "Where each volume's record lives. May be left out when there is exactly one medium with the driver `directory`: it is kept there then.",
  });

const server = z
  .strictObject({
    name: name.meta({ description: 'Name of the server, for `serve --server`.', example: 'a' }),
    machine: name.optional().meta({
      description:
        "Name of the machine it runs on; its own name if left out. Servers that name the same machine can prove each other's death by their locks and share the kernel's cache; never name one machine for two.",
      example: 'rack1',
    }),
    state: path.meta({
      description: 'Directory of the server alone: its lock and its journals. It must be on a disk of this machine.',
      example: '/var/lib/holdfast',
    }),
    admin: address.meta({
      description: 'Address of its admin HTTP, which `status`, `takeover` and the others ask.',
      example: '10.0.0.1:7400',
    }),
    link: z
      .array(address)
      .min(1, 'a server has at least one path of the link')
      .max(4, 'a server has at most 4 paths of the link')
      .meta({
        description:
          "Addresses at which it takes the other servers' connections, one for each path, in the same order on every server: path 1 of one server is connected with path 1 of the other. Two on separate networks are best.",
        example: ['10.0.0.1:7401', '10.1.0.1:7401'],
      }),
    'link-version': z
      .int()
      .min(MIN_VERSION, `the oldest version of the link's protocol is ${MIN_VERSION}`)
      .max(MAX_VERSION, `the newest version of the link's protocol is ${MAX_VERSION}`)
      .optional()
      .meta({
        title: 'number',
        description: `The newest version of the link's protocol that this server speaks, ${MIN_VERSION} to ${MAX_VERSION}; the newest there is if left out. Two servers speak the newest that both can, so that nothing is needed for an upgrade one by one; with \`${MAX_VERSION - 1}\`, a server goes on as before it, until that is taken away.`,
        example: MAX_VERSION - 1,
      }),
    'busy-poll-us': z
      .int()
      .min(0, 'a time to poll for cannot be negative')
      .max(10_000, 'polling for more than 10,000 us costs a processor and gains nothing')
      .prefault(150)
      .meta({
        title: 'number',
        description:
          'How long this server, having sent a single write to its partner, looks out for the answer instead of sleeping, in microseconds: a thread that sleeps is woken late. It costs processor time while writes come one by one; `0` saves that. A machine with one processor never polls.',
      }),
    fence: z.string().min(1, 'a fence command cannot be empty').optional().meta({
      description:
        'Shell command that keeps this server from the medium (or ends its machine); the server that claims one of its volumes runs it. Success is exit code 0. The environment has HOLDFAST_VICTIM, HOLDFAST_VICTIM_ADDRESS, HOLDFAST_VICTIM_LINKS, HOLDFAST_INCARNATION, HOLDFAST_VOLUME and HOLDFAST_CLAIMANT; docs/fencing.md has recipes.',
      example: '/usr/local/sbin/power-off rack1',
    }),
    'fence-deadline': duration
      .prefault('30s')
      .meta({ description: 'A fence command that has not ended by then is killed, has failed, and is tried again.' }),
    interface: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/, 'this is no name of a network device')
      .meta({ title: 'network device' })
      .optional()
      .meta({
        description:
          'Network device of this server that takes the service address of each volume it serves, by `ip addr`, and lets go of it afterwards; neighbours are told by gratuitous ARP or, of IPv6 addresses, by neighbour advertisements. Needs CAP_NET_ADMIN and CAP_NET_RAW. Without it, and without `up`, every service address must be one that the machine has anyway.',
        example: 'eth0',
      }),
    up: z.string().min(1, 'an address command cannot be empty').optional().meta({
      description:
        'Shell command that brings a service address to this server, in place of `ip addr`. Run before the volume is served; success is exit code 0. The environment has HOLDFAST_ADDRESS, HOLDFAST_PORT, HOLDFAST_VOLUME, HOLDFAST_SERVER and, if there is one, HOLDFAST_INTERFACE. Must succeed if the address is there already.',
      example: '/usr/local/sbin/address-up',
    }),
    down: z.string().min(1, 'an address command cannot be empty').optional().meta({
      description:
        'Shell command that takes a service address away from this server, with the same environment. Run when the volume is not served here any more, before a start, and by the supervisor when the server has died. Must succeed if the address is not there.',
      example: '/usr/local/sbin/address-down',
    }),
  })
  .meta({ description: 'One table for each server.' });

const medium = z
  .strictObject({
    name: name.meta({ description: 'Name of the medium, for the volumes.', example: 'shared' }),
    driver: z.enum(['directory', 'image']).meta({
      description:
        '`directory`: a directory that all servers reach; each block volume is a sparse raw image in it, each files volume a directory of plain files. `image`: one raw file or block device, for one block volume.',
    }),
    path: path.meta({
      description: 'The directory, file or device, the same on every server.',
      example: '/mnt/shared',
    }),
    sharing: z.enum(['host', 'machines']).optional().meta({
      description:
        "Who else writes to it. `host`: processes of one machine, which share its kernel's cache. `machines`: servers on several machines; every write is synchronous, so that nothing is left in the cache of a machine that may freeze. If left out, it follows from the `machine` of each volume's servers.",
      example: 'machines',
    }),
    'accept-risk': z.literal('late-io').optional().meta({
      description:
        'Where machines share the medium, I/O of a frozen server could land after another machine has taken its volume over. Every server of the volume needs a fence command against that, unless `late-io` accepts the risk by name; `status` shows it. Within one machine a frozen server is killed; with `late-io` the volume goes on also where that cannot be done.',
    }),
  })
  .meta({ description: 'One table for each medium: the storage that all servers share.' });

/** User and group numbers as NFS carries them; the largest one stands for "none" in system calls. */
const LARGEST_ID = 2 ** 32 - 2;
const id = z
  .int()
  .min(0, 'a user or group number is at least 0')
  .max(LARGEST_ID, `a user or group number is at most ${LARGEST_ID}`)
  .meta({ title: 'number' });

/** Whom every Linux calls nobody. */
const NOBODY = 65_534;

/** `[volume.export]`; what it says by default is in it. */
export const exportSchema = z
  .strictObject({
    'read-only': z
      .boolean()
      .default(false)
      .meta({ title: 'true or false', description: 'Clients may change nothing.' }),
    squash: z.enum(['root', 'all', 'none']).default('root').meta({
      description:
        "Which users of clients count as the anonymous one. `root`: user 0, and group 0 of everybody. `all`: everybody. `none`: nobody, so that a client's root may do everything.",
    }),
    'anon-uid': id.default(NOBODY).meta({ description: 'User number of the anonymous user.' }),
    'anon-gid': id.default(NOBODY).meta({ description: 'Group number of the anonymous user.' }),
    clients: z
      .array(network)
      .min(1, 'an empty list would admit nobody: leave "clients" out to admit everybody')
      .max(64, 'at most 64 networks are named')
      .optional()
      .meta({
        description: 'Networks or single addresses from which clients may mount and use it; every address if left out.',
        example: ['10.0.0.0/16', '2001:db8::/48'],
      }),
    portmapper: z.boolean().default(false).meta({
      title: 'true or false',
      description:
        'Its owner registers NFS and MOUNT with the portmapper (port 111) of its own machine, so that clients need not be told the port. One volume of a machine can have that at a time.',
    }),
    'root-mode': mode.prefault('0755').meta({
      description: 'Permissions of its root directory when it is created, in octal.',
    }),
    'root-uid': id.optional().meta({
      description: 'Owner of its root directory when it is created; whoever creates it if left out.',
      example: 1000,
    }),
    'root-gid': id.optional().meta({
      description: 'Group of its root directory when it is created; whoever creates it if left out.',
      example: 1000,
    }),
  })
  .meta({ description: 'How NFS clients see a files volume. Written below the `[[volume]]` it belongs to.' });

const volume = z
  .strictObject({
    name: name.meta({
      description: 'Name of the volume, of its NBD export, and of the path `/NAME` that NFS clients mount.',
      example: 'disk1',
    }),
    type: z.enum(['block', 'files']).default('block').meta({
      description:
        '`block`: one disk image, served over NBD. `files`: a directory tree, served over NFSv3; needs a `directory` medium.',
    }),
    medium: name.meta({ description: 'The medium it is kept on.', example: 'shared' }),
    size: blockSize.optional().meta({
      description:
        'Size of a block volume, required there, a multiple of 4 KiB. Used when it is created. A files volume has none: it may use all the room of its medium.',
      example: '10GiB',
    }),
    address: address.meta({
      description: 'The service address on which its owner serves it. It follows the owner.',
      example: '10.0.0.100:10809',
    }),
    servers: z
      .array(name)
      .min(1, 'a volume has at least one server')
      .max(16, 'a volume has at most 16 servers')
      .meta({
        description: 'The servers that may own or mirror it, in order of preference: the first is its preferred owner.',
        example: ['a', 'b'],
      }),
    store: z.enum(['journal', 'memory']).default('journal').meta({
      description:
        'What holds its writes until the medium has them. `journal` survives the loss of power in both servers; `memory` survives the loss of either server, not of both.',
    }),
    'store-capacity': capacity.prefault('64MiB').meta({
      description:
        'Room for writes that the medium does not have yet, in each of its servers, in memory and (journal) on disk. When it is used up, writes wait. 16MiB to 64GiB.',
    }),
    degraded: z.enum(['write-through', 'journal', 'stop']).default('write-through').meta({
      description:
        "What its owner does without a partner. `write-through`: a write is acknowledged once the synced medium has it. `journal`: once the owner's own journal has it. `stop`: only reads are answered.",
    }),
    reads: z.enum(['leased', 'confirmed']).optional().meta({
      description:
        'What authorises a read. `leased`: a grant not older than the lease. `confirmed`: a grant asked for after the data were gathered, a round trip for each batch of reads; for machines that a hypervisor can pause. If left out, each server looks at its own machine: `confirmed` where it is virtual or cannot be told, else `leased`; `status` and `check-config` show which, and why.',
    }),
    giveback: z.enum(['manual', 'auto']).default('manual').meta({
      description:
        'Whether the first of its servers takes it back by itself, once the mirror has been in sync for 30 s. An automatic giveback is not made after three changes of owner within ten minutes.',
    }),
    export: exportSchema.optional(),
  })
  .meta({ description: 'One table for each volume.' });

/** Milliseconds as the file writes them. */
const inFile = (ms: number): string => (ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`);
const timing = (ms: number, description: string) => duration.prefault(inFile(ms)).meta({ description });
const d = DEFAULT_TIMINGS;

const timings = z
  .strictObject({
    heartbeat: timing(d.heartbeatMs, 'Pace of heartbeats on every path of the link.'),
    silent: timing(d.silentMs, 'A path that carried nothing for so long is silent. At least 3 heartbeats.'),
    entry: timing(d.entryMs, "Pace of writing the server's entry at the coordinator."),
    'entry-stall': timing(
      d.entryStallMs,
      'An entry that did not move for so long stands still. At least 3 times `entry`.',
    ),
    poll: timing(d.pollMs, "Pace of reading every volume's record."),
    lease: timing(
      d.leaseMs,
      'How long authority lasts after it was granted. At least 4 times `poll` and 4 heartbeats.',
    ),
    drift: z
      .number()
      .min(0, 'the drift is at least 0')
      .lt(0.2, 'the drift is below 0.2')
      .default(d.driftFraction)
      .meta({ title: 'fraction', description: "Two servers' clocks run apart by at most this fraction. Below 0.2." }),
    confirm: timing(
      d.confirmMs,
      'A write that the partner has not confirmed for so long means that the partner is lost.',
    ),
    coordinator: timing(
      d.coordinatorMs,
      'A coordinator call that has not returned for so long has an unknown outcome.',
    ),
    source: timing(d.sourceMs, 'How long a claimant waits for the other server that holds a copy.'),
    destage: timing(d.destageMs, 'A write is written to the medium when it is so old, or earlier when there is need.'),
    yield: timing(
      d.yieldMs,
      'How long a server leaves an unowned volume to each server before it in the order of preference.',
    ),
    probe: timing(d.probeMs, 'How often a server probes its own paths to medium and coordinator.'),
    io: timing(d.ioMs, 'A probe or a store that does not answer for so long makes the server unfit.'),
    handover: timing(d.handoverMs, 'A planned takeover that has not come to its end by then is given up.'),
    retry: timing(d.retryMs, 'Pause before a step that failed is tried again.'),
  })
  .meta({
    description:
      'The pace of everything. The defaults suit servers in one building; keep the relations that are named.',
  });

/** The whole file. */
export const fileSchema = z.strictObject({
  cluster,
  coordinator: coordinator.prefault({}),
  server: z
    .array(server)
    .min(1, 'the file describes at least one [[server]]')
    .max(16, 'a cluster has at most 16 servers'),
  medium: z
    .array(medium)
    .min(1, 'the file describes at least one [[medium]]')
    .max(64, 'a cluster has at most 64 media'),
  volume: z
    .array(volume)
    .min(1, 'the file describes at least one [[volume]]')
    .max(64, 'a cluster has at most 64 volumes'),
  timings: timings.prefault({}),
});

/** The file's content, with every default filled in and every notation read. */
export type FileContent = z.output<typeof fileSchema>;
export type ServerTable = FileContent['server'][number];
export type MediumTable = FileContent['medium'][number];
export type VolumeTable = FileContent['volume'][number];
export type ExportTable = z.output<typeof exportSchema>;

/** The `[timings]` table as the core takes it. */
export function toTimings(table: FileContent['timings']): Timings {
  return {
    heartbeatMs: table.heartbeat,
    silentMs: table.silent,
    entryMs: table.entry,
    entryStallMs: table['entry-stall'],
    pollMs: table.poll,
    leaseMs: table.lease,
    driftFraction: table.drift,
    confirmMs: table.confirm,
    coordinatorMs: table.coordinator,
    sourceMs: table.source,
    destageMs: table.destage,
    yieldMs: table.yield,
    probeMs: table.probe,
    ioMs: table.io,
    handoverMs: table.handover,
    retryMs: table.retry,
  };
}
