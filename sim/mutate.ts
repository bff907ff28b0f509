/** Makes a mutated copy of the core in a scratch directory and loads it; the sources stay as they are. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Server } from '../src/core/server.ts';
import type { FilesProgram } from '../src/front/nfs/files-program.ts';
import type { Edit, Mutation } from './mutation.ts';
import type { RunOptions } from './run.ts';

/** `.ts` when run from the sources, `.js` when compiled. */
const ENDING = extname(fileURLToPath(import.meta.url));
const SOURCE = fileURLToPath(new URL('../src/', import.meta.url));

/** How to run worlds with the mutated core. Throws when an edit no longer fits. */
export async function mutated(mutation: Mutation): Promise<RunOptions> {
  const scratch = mkdtempSync(join(tmpdir(), 'holdfast-mutation-'));
  try {
    writeFileSync(join(scratch, 'package.json'), '{"type":"module"}');
    cpSync(join(SOURCE, 'core'), join(scratch, 'core'), { recursive: true });
    cpSync(join(SOURCE, 'front'), join(scratch, 'front'), { recursive: true });
    for (const room of ['base', 'ports', 'wire']) symlinkSync(join(SOURCE, room), join(scratch, room));
    for (const edit of mutation.edits) apply(edit, join(scratch, edit.room, edit.file + ENDING));
    const loaded = (await import(pathToFileURL(join(scratch, 'core', `server${ENDING}`)).href)) as {
      Server: typeof Server;
    };
    const isOfFront = mutation.edits.some(({ room }) => room === 'front/nfs');
    const front = isOfFront ? await programOf(scratch) : null;
    return {
      factory: (settings, ports) => new loaded.Server(settings, ports),
      ...(mutation.filter === undefined ? {} : { filter: mutation.filter }),
      ...(front === null ? {} : { program: (parts) => new front(parts) }),
    };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function programOf(scratch: string): Promise<typeof FilesProgram> {
  const file = pathToFileURL(join(scratch, 'front/nfs', `files-program${ENDING}`));
  const loaded = (await import(file.href)) as { FilesProgram: typeof FilesProgram };
  return loaded.FilesProgram;
}

function apply(edit: Edit, path: string): void {
  const text = readFileSync(path, 'utf8');
  const pattern = new RegExp(patternOf(edit.find), 'g');
  const found = text.match(pattern)?.length ?? 0;
  if (found !== 1) throw new Error(`${edit.room}/${edit.file}: found ${found} times: ${edit.find}`);
  writeFileSync(
    path,
    text.replace(pattern, () => edit.replace),
  );
}

/** White space and comments between the words of the text may be anything; what the compiler drops may be missing. */
function patternOf(find: string): string {
  const gap = String.raw`(?:\s|//[^\n]*\n)+`;
  return find
    .split(/\s+/)
    .map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
    .join(gap);
}
