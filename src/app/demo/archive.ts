/**
 * The file that the demo writes: a tar archive of this very project and of the libraries it runs on, made in memory.
 * Format: POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange Format").
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const BLOCK = 512;
/** Where the files come from, in this order, until there is enough. */
const FOLDERS = ['src', 'docs', 'examples', 'sim', 'suites', 'e2e', 'dist', 'node_modules'];
/** Enough for some seconds of writing, little enough for any temporary directory. */
const ENOUGH_BYTES = 24 << 20;
const MOST_FILE_BYTES = 1 << 20;

export interface Archive {
  readonly bytes: Buffer;
  readonly files: number;
}

/** A tar of about 24 MiB of the project's own files; smaller when there are fewer. */
export function makeArchive(root: string): Archive {
  const parts: Buffer[] = [];
  let bytes = 0;
  let files = 0;
  for (const file of filesBelow(root)) {
    if (bytes >= ENOUGH_BYTES) break;
    const name = splitName(relative(root, file));
    if (name === null) continue;
    const content = readFileSync(file);
    if (content.length > MOST_FILE_BYTES) continue;
    const filled = Buffer.alloc(Math.ceil(content.length / BLOCK) * BLOCK);
    content.copy(filled);
    parts.push(header(name, content.length), filled);
    bytes += BLOCK + filled.length;
    files += 1;
  }
  // Two empty blocks end an archive; filled up so that it is a whole number of 4 KiB blocks.
  const end = 2 * BLOCK + ((4_096 - ((bytes + 2 * BLOCK) % 4_096)) % 4_096);
  parts.push(Buffer.alloc(end));
  return { bytes: Buffer.concat(parts), files };
}

function* filesBelow(root: string): Generator<string> {
  const waiting = FOLDERS.map((folder) => join(root, folder));
  for (let folder = waiting.shift(); folder !== undefined; folder = waiting.shift()) {
    let entries;
    try {
      entries = readdirSync(folder, { withFileTypes: true });
    } catch {
      continue;
    }
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    const below: string[] = [];
    for (const entry of entries) {
      if (entry.isDirectory()) below.push(join(folder, entry.name));
      else if (entry.isFile()) yield join(folder, entry.name);
    }
    waiting.unshift(...below);
  }
}

interface Name {
  readonly prefix: string;
  readonly name: string;
}

/** A ustar name is at most 100 bytes behind a prefix of at most 155; null when it does not fit. */
function splitName(path: string): Name | null {
  if (Buffer.byteLength(path) !== path.length) return null;
  if (path.length <= 100) return { prefix: '', name: path };
  const cut = path.indexOf('/', path.length - 101);
  if (cut <= 0 || cut > 155) return null;
  return { prefix: path.slice(0, cut), name: path.slice(cut + 1) };
}

function header(name: Name, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');
  block.write(name.name, 0, 'latin1');
  block.write(octal(0o644, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(size, 11), 124);
  block.write(octal(0, 11), 136);
  block.write(' '.repeat(8), 148);
  block.write('0', 156);
  block.write('ustar\u000000', 257, 'latin1');
  block.write(name.prefix, 345, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\u0000 `, 148, 'latin1');
  return block;
}
