/**
 * The demo from its first line to its last: sets it up, plays it, stays or ends, and leaves nothing behind, however it
 * ends.
 */
import { once } from 'node:events';
import { ExitCode, Failure } from '../exit.ts';
import { makePlace } from './place.ts';
import type { Place } from './place.ts';
import { Screen } from './screen.ts';
import { stay } from './stay.ts';
import { Story } from './story.ts';

/** `onceOnly`: ends after the check instead of staying for the user's own clients. */
export async function runDemo(onceOnly: boolean): Promise<void> {
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
