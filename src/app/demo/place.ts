/**
 * Where the demo lives: a temporary directory with a key, a configuration, the servers' own directories and the shared
 * one that is the medium. All of it, and everything started in it, is gone when the demo ends.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { randomBytes, randomInt } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/load.ts';

export interface Place {
  readonly directory: string;
  readonly configFile: string;
  readonly config: Config;
  /** Removes everything. The servers must have ended. */
  remove(): void;
}

/** Makes the directory and writes the configuration. */
export async function makePlace(): Promise<Place> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-demo-'));
  const remove = (): void => rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  try {
    for (const name of ['a', 'b', 'shared']) mkdirSync(join(directory, name));
    writeFileSync(join(directory, 'cluster.key'), randomBytes(32).toString('hex'), { mode: 0o600 });
    const configFile = join(directory, 'cluster.toml');
    writeFileSync(configFile, configText(await freePorts(9)));
    const loaded = loadConfig(configFile);
    if (loaded.mistakes !== null)
      throw new Error(`broken invariant: the demo's configuration is right: ${JSON.stringify(loaded.mistakes)}`);
    return { directory, configFile, config: loaded.config, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

function configText(ports: readonly number[]): string {
  const server = (name: string, first: number): string => `
[[server]]
name = "${name}"
machine = "here"
state = "${name}"
admin = "127.0.0.1:${ports[first]}"
link = ["127.0.0.1:${ports[first + 1]}", "127.0.0.1:${ports[first + 2]}"]
`;
  const volume = (name: string, port: number | undefined, servers: string): string => `
[[volume]]
name = "${name}"
medium = "shared"
size = "256MiB"
address = "127.0.0.1:${port}"
servers = [${servers}]
`;
  return `# Two servers on this machine, one shared directory, three volumes: one and files are a's, two is b's, and each server
# mirrors the other's.
[cluster]
id = "demo"
key-file = "cluster.key"
${server('a', 0)}${server('b', 3)}
[[medium]]
name = "shared"
driver = "directory"
path = "shared"
${volume('one', ports[6], '"a", "b"')}${volume('two', ports[7], '"b", "a"')}
[[volume]]
name = "files"
type = "files"
medium = "shared"
address = "127.0.0.1:${ports[8]}"
servers = ["a", "b"]
[volume.export]
squash = "none"
`;
}

/** Ports on which nothing listens now, below the range from which the system picks its own. */
async function freePorts(number: number): Promise<readonly number[]> {
  const found = new Set<number>();
  for (let attempt = 0; found.size < number; attempt += 1) {
    if (attempt > 1_000) throw new Fault('refused', `no ${number} free ports were found between 20000 and 32000`);
    const port = randomInt(20_000, 32_000);
    if (!found.has(port) && (await isFree(port))) found.add(port);
  }
  return [...found];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
