/**
 * `holdfast demo`: a pair on this machine, a client, a death, and the proof that nothing was lost; then it goes on
 * running for the user's own clients. It leaves nothing behind, however it ends.
 */
import type { Command } from 'commander';
import { once } from 'node:events';
import { makePlace } from '../demo/place.ts';
import type { Place } from '../demo/place.ts';
import { stay } from '../demo/stay.ts';
import { Screen } from '../demo/screen.ts';
import { Story } from '../demo/story.ts';
import { ExitCode, Failure } from '../exit.ts';

interface Options {
  readonly once?: boolean;
}

export function addDemo(program: Command): void {
  program
    .command('demo')
    .description('run a pair on this machine, kill its owner in mid-write, and check every acknowledged byte')
    .option('--once', 'end after the check: exit code 0 only if every acknowledged byte was there')
    .action((options: Options) => runDemo(options.once === true));
}

async function runDemo(onceOnly: boolean): Promise<void> {
  const screen = new Screen(process.stdout);
  const place = await makePlace();
  const story = new Story(screen, place);
  // The last resort, also after an exception or process.exit: nothing of it outlives this process.
  const sweep = (): void => {
    for (const server of Object.values(story.servers)) server.kill();
    place.remove();
  };
  process.once('exit', sweep);
  const interrupted = new AbortController();
  const interrupt = (): void => {
    if (interrupted.signal.aborted) process.exit(ExitCode.interrupted);
    interrupted.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  try {
    const complete = await orInterrupted(story.play(), interrupted.signal);
    if (complete === 'interrupted') throw new Failure(ExitCode.interrupted, 'interrupted before the end of the demo');
    if (!complete) throw new Failure(ExitCode.failed, 'not every acknowledged byte was there');
    if (!onceOnly) await stay(story, place, screen, interrupted.signal);
  } catch (error) {
    screen.still();
    if (error instanceof Failure && error.code === ExitCode.failed) tellLogs(story);
    throw error;
  } finally {
    screen.still();
    await cleanUp(story, place, screen);
    process.off('exit', sweep);
  }
}

async function orInterrupted(play: Promise<boolean>, signal: AbortSignal): Promise<boolean | 'interrupted'> {
  play.catch(() => undefined);
  if (signal.aborted) return 'interrupted';
  return Promise.race([play, once(signal, 'abort').then(() => 'interrupted' as const)]);
}

/** What the servers said last, for whoever has to find out. */
function tellLogs(story: Story): void {
  for (const server of Object.values(story.servers)) {
    process.stderr.write(`\nlast lines of the log of server ${server.name}:\n`);
    for (const line of server.log) process.stderr.write(`  ${line}\n`);
  }
}

async function cleanUp(story: Story, place: Place, screen: Screen): Promise<void> {
  await Promise.all(Object.values(story.servers).map((server) => server.end('SIGKILL')));
  place.remove();
  screen.say('end', `both servers have ended and ${place.directory} is removed`);
}
