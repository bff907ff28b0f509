/**
 * The command line: `holdfast COMMAND`. One file for each command; this one puts them together and turns how a command
 * ends into an exit code and, for a person, one clear sentence.
 */
import { Command, CommanderError } from 'commander';
import { Fault } from '../../base/fault.ts';
import { exitCodeOf, ExitCode, Failure } from '../exit.ts';
import { paintFor } from '../style.ts';
import { addAcceptLoss } from './accept-loss.ts';
import { addCheckConfig } from './check-config.ts';
import { addDemo } from './demo.ts';
import { addDrain } from './drain.ts';
import { addEvents } from './events.ts';
import { addRehearse } from './rehearse.ts';
import { addServe } from './serve.ts';
import { addStatus } from './status.ts';
import { addGiveback, addTakeover } from './takeover.ts';
import { addVolume } from './volume.ts';

/** The whole command line. */
function program(): Command {
  const root = new Command('holdfast')
    .description('A storage server that keeps hold of every write until the storage medium has it')
    .version('0.1.0')
    .showHelpAfterError('(--help shows how it is used)')
    .exitOverride();
  addServe(root);
  addStatus(root);
  addTakeover(root);
  addGiveback(root);
  addDrain(root);
  addRehearse(root);
  addEvents(root);
  addVolume(root);
  addAcceptLoss(root);
  addCheckConfig(root);
  addDemo(root);
  for (const command of root.commands) inherit(command, root);
  return root;
}

function inherit(command: Command, root: Command): void {
  command.copyInheritedSettings(root);
  for (const child of command.commands) inherit(child, root);
}

/** Runs the command and gives its exit code. */
async function run(argv: readonly string[]): Promise<ExitCode> {
  try {
    await program().parseAsync(argv);
    return ExitCode.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    const paint = paintFor(process.stderr);
    if (error instanceof Failure) return told(paint('bad', 'holdfast: ') + error.message, error.code);
    if (error instanceof Fault) return told(paint('bad', 'holdfast: ') + error.message, exitCodeOf(error));
    const stack = error instanceof Error ? error.stack : String(error);
    return told(`${paint('bad', 'holdfast: this is a bug')}, please report it:\n${stack}`, ExitCode.bug);
  }
}

function told(text: string, code: ExitCode): ExitCode {
  process.stderr.write(`${text}\n`);
  return code;
}

// A reader that went away (`holdfast status | head -1`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(ExitCode.ok);
  throw error;
});
process.exitCode = await run(process.argv);
