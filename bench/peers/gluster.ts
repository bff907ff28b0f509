/**
 * GlusterFS, replica 2: one glusterd with two bricks on loopback, a file that fio opens O_SYNC through gfapi. A write is
 * answered when both bricks have it on disk.
 *
 * The bricks leave glusterd's family, and all of them write to places of the system's. So they live in namespaces of their
 * own: whatever happens, all of them end with the first process there, they count as this benchmark's, and what they
 * write outside of the scratch directory goes into it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Contestant } from '../contestants.ts';
import { familyOf, findProgram, output, removeScratch, Running, scratchDirectory, waitFor } from '../machine.ts';
import { fillByFio, type FioDoor, hasEngine } from './fio.ts';

/** gfapi asks for the volume here, wherever glusterd is told to listen. */
const PORT = 24_007;
const READY_MS = 60_000;
/** No cache in the client; a write needs both bricks; nothing heals beside the load. */
const VOLUME_OPTIONS = {
  'performance.write-behind': 'off',
  'performance.quick-read': 'off',
  'performance.io-cache': 'off',
  'performance.read-ahead': 'off',
  'performance.stat-prefetch': 'off',
  'cluster.self-heal-daemon': 'off',
  'cluster.quorum-type': 'fixed',
  'cluster.quorum-count': '2',
};

/** Null when it is not installed; throws where it does not start, and then nothing of it is left. */
export async function startGluster(sizeMib: number): Promise<Contestant | null> {
  for (const program of ['glusterd', 'glusterfsd', 'gluster', 'unshare']) {
    if ((await findProgram(program)) === null) return null;
  }
  if (!(await hasEngine('gfapi_async'))) return null;
  if (process.getuid?.() !== 0) throw new Error('bricks need root, for trusted attributes');
  const directory = scratchDirectory();
  const host = loopbackAddress();
  const server = launch(directory, host);
  const end = async (): Promise<void> => {
    await server.kill();
    removeScratch(directory);
  };
  // Of those in the family the first two only wait.
  const signal = (name: NodeJS.Signals): void => familyOf(server.pid).forEach((pid) => signalOne(pid, name));
  try {
    await makeVolume(directory, host, server);
    const door = doorOf(directory, host, sizeMib);
    await fillByFio(door);
    return {
      name: 'gluster',
      door,
      processes: [{ role: 'glusterd and bricks', pid: server.pid }],
      settle: () => Promise.resolve(),
      // Its client is connected only while it is measured, and bricks and glusterd do not watch each other.
      pause: () => signal('SIGSTOP'),
      resume: () => signal('SIGCONT'),
      end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Any address of the loopback network will do; the port is fixed, and another glusterd may run. */
function loopbackAddress(): string {
  const part = (): number => 1 + Math.floor(Math.random() * 253);
  return `127.${part()}.${part()}.${part()}`;
}

function launch(directory: string, host: string): Running {
  const config = path.join(directory, 'glusterd.vol');
  for (const name of ['lib', 'run', 'log', 'tmp', 'brick0', 'brick1']) mkdirSync(path.join(directory, name));
  writeFileSync(
    config,
    `volume management
  type mgmt/glusterd
  option working-directory ${directory}/lib
  option run-directory ${directory}/run
  option glusterd-sockfile ${directory}/sock
  option transport-type socket
  option transport.address-family inet
  option transport.socket.bind-address ${host}
  option transport.socket.listen-port ${PORT}
  option ping-timeout 0
  option base-port 49152
  option max-port 49400
end-volume
`,
  );
  const script = `set -e
for place in lib:/var/lib/glusterd log:/var/log/glusterfs run:/run; do
  if [ -d "\${place#*:}" ]; then mount --bind "$0/\${place%%:*}" "\${place#*:}"; fi
done
glusterd -N -f "$0/glusterd.vol" -l "$0/log/glusterd" -p "$0/run/glusterd.pid" & wait`;
  const namespaces = ['--mount', '--pid', '--mount-proc', '--fork', '--kill-child'];
  return new Running('unshare', [...namespaces, '/bin/sh', '-c', script, directory]);
}

async function makeVolume(directory: string, host: string, server: Running): Promise<void> {
  const gluster = (...words: string[]): Promise<string> =>
    output('gluster', [
      '--mode=script',
      `--glusterd-sock=${directory}/sock`,
      `--log-file=${directory}/log/cli`,
      ...words,
    ]);
  const until = (what: string, look: () => Promise<boolean>): Promise<void> =>
    waitFor(
      what,
      async () => {
        if (!server.isRunning) throw new Error(`glusterd ended: ${server.said}`);
        return look();
      },
      READY_MS,
    );
  await until('an answer of glusterd', () =>
    gluster('volume', 'info').then(
      () => true,
      () => false,
    ),
  );
  const bricks = ['brick0', 'brick1'].map((name) => `${host}:${path.join(directory, name)}`);
  await gluster('volume', 'create', 'bench', 'replica', '2', ...bricks, 'force');
  await gluster('volume', 'set', 'bench', ...Object.entries(VOLUME_OPTIONS).flat());
  await gluster('volume', 'start', 'bench');
  await until('both bricks', async () => {
    const nodes = (await gluster('--xml', 'volume', 'status', 'bench')).split('<node>');
    return nodes.filter((node) => /brick[01]<.*<status>1</s.test(node)).length === 2;
  });
}

/** The library's log goes to /tmp whatever it is told: fio is given one of its own. */
function doorOf(directory: string, host: string, sizeMib: number): FioDoor {
  const script = 'mount --bind "$0" /tmp && exec "$@"';
  return {
    kind: 'fio',
    target: ['--ioengine=gfapi_async', '--volume=bench', `--brick=${host}`, '--filename=image', `--size=${sizeMib}M`],
    stable: ['--sync=1'],
    // Every 32 MiB, as the NBD client flushes.
    synced: ['--fsync=256'],
    env: {},
    before: ['unshare', '--mount', '/bin/sh', '-c', script, path.join(directory, 'tmp')],
  };
}

function signalOne(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it ended meanwhile
  }
}
