/**
 * After the story: the pair goes on running for the user's own clients, with the exact commands to reach it, until
 * Ctrl-C. A server that the user kills is started again after a moment, so that one can go on playing.
 */
import { join, relative } from 'node:path';
import { findRoot } from '../root.ts';
import { mountCommand, volumeUri } from '../words.ts';
import { statusText } from '../cli/status-text.ts';
import { askAll, openCluster } from '../cli/common.ts';
import type { Place } from './place.ts';
import type { Screen } from './screen.ts';
import type { ServerName, Story } from './story.ts';

/** How long a killed server stays down. */
const DOWN_MS = 3_000;
const LOOK_MS = 500;

/** Resolves when `signal` is aborted. */
export async function stay(story: Story, place: Place, screen: Screen, signal: AbortSignal): Promise<void> {
  tellCommands(story, place, screen);
  const cluster = openCluster(place.config);
  let text = '';
  const look = async (): Promise<void> => {
    text = statusText(place.config, await askAll(cluster), screen.paint);
  };
  await look();
  const timer = setInterval(() => void look(), LOOK_MS);
  const down = new Set<ServerName>();
  const keeper = setInterval(() => {
    for (const name of ['a', 'b'] as const) {
      const server = story.servers[name];
      if (server.running || down.has(name)) continue;
      down.add(name);
      screen.say(name, `has ended; it is started again in ${DOWN_MS / 1_000} s`);
      setTimeout(() => {
        down.delete(name);
        if (signal.aborted) return;
        server.start();
        screen.say(name, `is started again (pid ${server.pid})`);
      }, DOWN_MS).unref();
    }
  }, 200);
  if (process.stdout.isTTY === true) screen.move(() => ({ lines: ['', ...text.split('\n'), ''], plain: '' }));
  else screen.line(text);
  try {
    if (!signal.aborted)
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  } finally {
    clearInterval(timer);
    clearInterval(keeper);
    screen.still();
  }
}

function tellCommands(story: Story, place: Place, screen: Screen): void {
  const { paint } = screen;
  const holdfast = relative(process.cwd(), join(findRoot(), 'bin', 'holdfast.cjs')) || 'bin/holdfast.cjs';
  const [one, two, files] = place.config.volumes;
  if (one === undefined || two === undefined || files?.type !== 'files')
    throw new Error('broken invariant: the demo has two disks and a tree of files');
  const volumes = join(place.directory, 'shared', 'volumes');
  const uri = (volume: typeof one): string => `nbd://${volume.address.host}:${volume.address.port}/${volume.name}`;
  const rows: readonly (readonly [string, string])[] = [
    ['what is it', `qemu-img info ${uri(one)}`],
    ['copy it out', `nbdcopy ${uri(one)} copy.tar`],
    ['', `qemu-img convert -f raw -O qcow2 ${uri(two)} two.qcow2`],
    ['as a device', `sudo nbd-client ${one.address.host} ${one.address.port} -N ${one.name} /dev/nbd0`],
    ['its image', `qemu-img info ${join(volumes, one.name, 'disk.img')}`],
    ['mount files', `sudo ${mountCommand(files, '/mnt')}`],
    ['or look', `nfs-ls '${volumeUri(files)}'`],
    ['its tree', `ls -l ${join(volumes, files.name, 'tree')}`],
    ['status', `node ${holdfast} status --watch --config ${place.configFile}`],
    ['give it back', `node ${holdfast} giveback one --config ${place.configFile}`],
    [
      'kill again',
      `kill -9 ${story.servers.b.pid}    # the owner; a killed server is started again, and its new pid told`,
    ],
  ];
  screen.line(`  ${paint('strong', 'The pair goes on running')} until Ctrl-C. Connect your own clients:`);
  screen.line();
  for (const [what, command] of rows) screen.line(`    ${paint('dim', what.padEnd(12))}  ${command}`);
  screen.line();
}
