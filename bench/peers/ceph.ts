/**
 * Ceph RBD, size 2: one monitor, one manager, two OSDs with BlueStore on files, all on loopback, and fio with librbd. A
 * write is answered when both OSDs have it on disk; the client's cache is off.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Contestant } from '../contestants.ts';
import {
  findProgram,
  freePorts,
  HOST,
  listens,
  output,
  removeScratch,
  Running,
  scratchDirectory,
  waitFor,
} from '../machine.ts';
import { fillByFio, type FioDoor, hasEngine } from './fio.ts';

const READY_MS = 90_000;
/** Of each OSD; the file is sparse. */
const DEVICE_BYTES = 6 * 2 ** 30;
const MEMORY_BYTES = 2 * 2 ** 30;
/** Placement groups of the pool. */
const GROUPS = 16;
/** Longer than any turn of the others, in seconds: OSDs that were stopped shall not take each other for dead. */
const GRACE_S = 86_400;

/** Null when it is not installed; throws where it does not start, and then nothing of it is left. */
export async function startCeph(sizeMib: number): Promise<Contestant | null> {
  for (const program of ['ceph-mon', 'ceph-mgr', 'ceph-osd', 'ceph', 'rbd', 'ceph-authtool', 'monmaptool']) {
    if ((await findProgram(program)) === null) return null;
  }
  if (!(await hasEngine('rbd'))) return null;
  const cluster = new Cluster(scratchDirectory(), await freePorts(2));
  try {
    await cluster.start(sizeMib);
    const door = cluster.door();
    await fillByFio(door);
    return {
      name: 'ceph',
      door,
      processes: cluster.processes.map(({ role, server }) => ({ role, pid: server.pid })),
      settle: () => Promise.resolve(),
      // All at once, and with a grace that is longer than any turn.
      pause: () => cluster.processes.forEach(({ server }) => server.signal('SIGSTOP')),
      resume: () => cluster.processes.forEach(({ server }) => server.signal('SIGCONT')),
      end: () => cluster.end(),
    };
  } catch (error) {
    await cluster.end();
    throw error;
  }
}

class Cluster {
  readonly processes: { readonly role: string; readonly server: Running }[] = [];
  readonly #directory: string;
  readonly #ports: readonly number[];
  readonly #id = randomUUID();
  readonly #config: string;
  /** librbd inside of fio takes its configuration from here alone. */
  readonly #env: Readonly<Record<string, string>>;

  constructor(directory: string, ports: readonly number[]) {
    this.#directory = directory;
    this.#ports = ports;
    this.#config = path.join(directory, 'ceph.conf');
    this.#env = { CEPH_CONF: this.#config, CEPH_ARGS: '' };
  }

  async start(sizeMib: number): Promise<void> {
    for (const name of ['mon.a', 'mgr.x', 'osd.0', 'osd.1', 'run']) mkdirSync(path.join(this.#directory, name));
    writeFileSync(this.#config, configText(this.#directory, this.#id, this.#addresses));
    await this.#startMonitor();
    const manager = this.#launch('ceph-mgr', 'x');
    for (const id of ['0', '1']) await this.#startOsd(id);
    await this.#until('both OSDs', async () => {
      const stat = JSON.parse(await this.#ceph('osd', 'stat', '-f', 'json')) as { readonly num_up_osds: number };
      return stat.num_up_osds === 2;
    });
    await this.#ceph('osd', 'pool', 'create', 'bench', String(GROUPS), String(GROUPS), 'replicated');
    await this.#ceph('osd', 'pool', 'application', 'enable', 'bench', 'rbd');
    await this.#until('clean placement groups', async () => {
      // All of them, the manager's own among them, in the state that has both copies.
      const [, all, clean] = /^(\d+) pgs: (\d+) active\+clean;/.exec(await this.#ceph('pg', 'stat')) ?? [];
      return all === clean && Number(all) >= GROUPS;
    });
    await this.#run('rbd', [
      '-p',
      'bench',
      'create',
      'image',
      '--size',
      String(sizeMib),
      '--image-feature',
      'layering',
    ]);
    // I/O does not need it, and its modules take of the processor what the OSDs could use.
    await manager.kill();
    this.processes.splice(1, 1);
  }

  door(): FioDoor {
    return {
      kind: 'fio',
      target: ['--ioengine=rbd', '--clientname=admin', '--pool=bench', '--rbdname=image'],
      // Every write is on disk in both copies when it is answered.
      stable: [],
      synced: [],
      env: this.#env,
      before: [],
    };
  }

  async end(): Promise<void> {
    await Promise.all(this.processes.map(({ server }) => server.kill()));
    removeScratch(this.#directory);
  }

  get #addresses(): string {
    const [one = 0, two = 0] = this.#ports;
    return `[v2:${HOST}:${one},v1:${HOST}:${two}]`;
  }

  async #startMonitor(): Promise<void> {
    const keyring = path.join(this.#directory, 'keyring');
    const map = path.join(this.#directory, 'monmap');
    await output('ceph-authtool', ['--create-keyring', keyring, '--gen-key', '-n', 'mon.', '--cap', 'mon', 'allow *']);
    const rights = ['mon', 'osd', 'mgr'].flatMap((what) => ['--cap', what, 'allow *']);
    await output('ceph-authtool', [keyring, '--gen-key', '-n', 'client.admin', ...rights]);
    await output('monmaptool', ['--create', '--fsid', this.#id, '--addv', 'a', this.#addresses, map]);
    await this.#run('ceph-mon', ['--mkfs', '-i', 'a', '--monmap', map, '--keyring', keyring]);
    this.#launch('ceph-mon', 'a');
    await listens(this.#ports[0] ?? 0);
  }

  async #startOsd(id: string): Promise<void> {
    const uuid = randomUUID();
    await this.#ceph('osd', 'new', uuid, id);
    await this.#run('ceph-osd', ['-i', id, '--mkfs', '--osd-uuid', uuid]);
    this.#launch('ceph-osd', id);
  }

  #launch(program: string, id: string): Running {
    const server = new Running(program, ['-c', this.#config, '-f', '-i', id], this.#env);
    this.processes.push({ role: `${program} ${id}`, server });
    return server;
  }

  #run(program: string, words: readonly string[]): Promise<string> {
    return output(program, ['-c', this.#config, ...words], this.#env);
  }

  #ceph(...words: string[]): Promise<string> {
    return this.#run('ceph', ['--connect-timeout', '30', ...words]);
  }

  #until(what: string, look: () => Promise<boolean>): Promise<void> {
    return waitFor(
      what,
      async () => {
        const ended = this.processes.find(({ server }) => !server.isRunning);
        if (ended !== undefined) throw new Error(`${ended.role} ended: ${ended.server.said}`);
        return look();
      },
      READY_MS,
    );
  }
}

function configText(directory: string, id: string, monitor: string): string {
  return `[global]
fsid = ${id}
mon initial members = a
mon host = ${monitor}
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
auth cluster required = none
auth service required = none
auth client required = none
keyring = ${directory}/keyring
osd pool default size = 2
osd pool default min size = 2
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd crush initial weight = 1
osd objectstore = bluestore
bluestore block create = true
bluestore block size = ${DEVICE_BYTES}
osd memory target = ${MEMORY_BYTES}
osd heartbeat grace = ${GRACE_S}
mon osd report timeout = ${GRACE_S}
osd op thread timeout = ${GRACE_S}
osd op thread suicide timeout = ${GRACE_S}
mgr initial modules =
mon data = ${directory}/mon.$id
mgr data = ${directory}/mgr.$id
osd data = ${directory}/osd.$id
run dir = ${directory}/run
admin socket = ${directory}/run/$name.$pid.asok
crash dir = ${directory}/run
log file = ${directory}/$name.log
mon cluster log file = ${directory}/$channel.log
debug default = 0
mon data avail warn = 1
mon data avail crit = 1
[client]
rbd cache = false
admin socket =
log file = ${directory}/client.log
`;
}
