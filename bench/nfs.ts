/**
 * Files volumes beside a peer: Holdfast's two copies with either kind of store against NFS-Ganesha's one, on directories of
 * one disk, by the same client (bench/nfsload.c, on libnfs). Contestants take turns in every round, and ratios are formed
 * round by round.
 */
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { findRoot } from '../src/app/root.ts';
import {
  findProgram,
  freePorts,
  HOST,
  listens,
  Noise,
  output,
  removeScratch,
  Running,
  scratchDirectory,
  sleep,
} from './machine.ts';
import { Pair } from './pair.ts';
import { median, percent, table } from './report.ts';

const NAMES = ['holdfast journal', 'holdfast memory', 'ganesha', 'ganesha dirsync'] as const;
type Name = (typeof NAMES)[number];

/** The file that data are written to and read from. */
const FILE_MIB = 512;
const CAPACITY_MIB = 256;

const CASES = {
  sync32: { title: 'WRITE FILE_SYNC 4 KiB, depth 32', mode: 'sync', bytes: 4_096, depth: 32 },
  sync1: { title: 'WRITE FILE_SYNC 4 KiB, depth 1', mode: 'sync', bytes: 4_096, depth: 1 },
  seq8: { title: 'WRITE 128 KiB in order, COMMIT, depth 8', mode: 'seq', bytes: 131_072, depth: 8 },
  read32: { title: 'READ 4 KiB, depth 32', mode: 'read', bytes: 4_096, depth: 32 },
  create8: { title: 'CREATE, depth 8', mode: 'create', bytes: 1, depth: 8 },
  lookup32: { title: 'LOOKUP, depth 32', mode: 'lookup', bytes: 1, depth: 32 },
  getattr32: { title: 'GETATTR, depth 32', mode: 'getattr', bytes: 1, depth: 32 },
  list1: { title: 'READDIRPLUS of 10,000 entries', mode: 'list', bytes: 1, depth: 1 },
} as const;
type CaseName = keyof typeof CASES;

interface Goal {
  readonly case: CaseName;
  readonly ours: Name;
  readonly against: Name;
  readonly of: 'opsPerSecond' | 'mbPerSecond' | 'p50Us';
  readonly must: number;
  readonly aim: number;
}
const goal = (name: CaseName, ours: Name, of: Goal['of'], must: number, aim: number): Goal => {
  return { case: name, ours, against: 'ganesha', of, must, aim };
};
/** What is promised for CREATE is against a peer that answers before the disk has it; the other one does the same work. */
const GOALS: readonly Goal[] = [
  goal('sync32', 'holdfast journal', 'opsPerSecond', 1.3, 2.5),
  goal('sync32', 'holdfast memory', 'opsPerSecond', 2, 4),
  goal('sync1', 'holdfast memory', 'p50Us', 0.7, 0.4),
  goal('seq8', 'holdfast memory', 'mbPerSecond', 0.6, 1),
  goal('read32', 'holdfast memory', 'opsPerSecond', 0.7, 1.3),
  goal('create8', 'holdfast memory', 'opsPerSecond', 0.5, 1),
  { ...goal('create8', 'holdfast memory', 'opsPerSecond', 0.5, 1), against: 'ganesha dirsync' },
  goal('lookup32', 'holdfast memory', 'opsPerSecond', 0.5, 1),
  goal('getattr32', 'holdfast memory', 'opsPerSecond', 0.5, 1),
  goal('list1', 'holdfast memory', 'opsPerSecond', 0.5, 1),
];

interface Measured {
  readonly contestant: Name;
  readonly case: CaseName;
  readonly round: number;
  readonly opsPerSecond: number;
  readonly mbPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly others: number;
}

interface Contestant {
  readonly name: Name;
  readonly url: string;
  settle(): Promise<void>;
  pause(): void;
  resume(): void;
  end(): Promise<void>;
}

/** Measures everything; `keep` is given the raw figures as lines. */
export async function filesVolumes(
  rounds: number,
  seconds: number,
  say: (text: string) => void,
  keep: (lines: readonly string[]) => void,
): Promise<void> {
  const program = await loadClient();
  const contestants: Contestant[] = [];
  const all: Measured[] = [];
  try {
    for (const name of NAMES) {
      const started = await start(name);
      if (started === null) say(`${name}: not installed, left out`);
      else contestants.push(started);
    }
    for (const one of contestants) await output(program, [one.url, 'fill', '4096', '1', '0', String(FILE_MIB)]);
    for (const one of contestants) one.pause();
    for (const [name, { title, mode, bytes, depth }] of Object.entries(CASES)) {
      for (let round = 1; round <= rounds; round += 1) {
        for (const one of contestants) {
          // It differs in nothing else.
          if (one.name === 'ganesha dirsync' && name !== 'create8') continue;
          one.resume();
          await one.settle();
          const noise = new Noise();
          const words = [mode, bytes, depth, seconds, FILE_MIB].map(String);
          const told = JSON.parse(await output(program, [one.url, ...words])) as Omit<Measured, 'contestant' | 'case'>;
          all.push({ ...told, contestant: one.name, case: name as CaseName, round, others: noise.share() });
          await one.settle();
          one.pause();
        }
        await sleep(100);
      }
      say(`measured: ${title}`);
    }
  } finally {
    for (const one of contestants) await one.end();
  }
  say(`\nFiles volumes over NFSv3, one connection\n${medians(all)}\n`);
  say(`Against ganesha, which keeps one copy\n${goals(all)}\n`);
  keep(all.map((one) => JSON.stringify(one)));
}

/** Compiles the load client if its source is newer. */
async function loadClient(): Promise<string> {
  const source = path.join(findRoot(), 'bench', 'nfsload.c');
  const program = path.join(findRoot(), 'dist', 'bench', 'nfsload');
  const age = (file: string): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (age(program) >= age(source)) return program;
  mkdirSync(path.dirname(program), { recursive: true });
  await output('gcc', ['-O2', '-Wall', '-Wextra', '-o', program, source, '-lnfs']).catch((error: unknown) => {
    throw new Error(
      `the load client needs a C compiler and libnfs (Debian: gcc libc6-dev libnfs-dev): ${String(error)}`,
    );
  });
  return program;
}

function start(name: Name): Promise<Contestant | null> {
  switch (name) {
    case 'holdfast journal':
      return startPair(name, 'journal');
    case 'holdfast memory':
      return startPair(name, 'memory');
    case 'ganesha':
    case 'ganesha dirsync':
      return startGanesha(name);
  }
}

async function startPair(name: Name, store: 'journal' | 'memory'): Promise<Contestant> {
  const pair = await Pair.start({ store, capacityMib: CAPACITY_MIB, sizeMib: 0, files: true });
  const port = pair.ports.a;
  return {
    name,
    url: `nfs://${HOST}/${pair.exportName}/f?nfsport=${port}&mountport=${port}`,
    settle: () => pair.untilDrained('a'),
    // A server that is stopped for a turn would be taken for dead by its partner: both stay, and idle.
    pause: () => undefined,
    resume: () => undefined,
    end: () => pair.end(),
  };
}

/**
 * `dirsync`: names are on the disk before they are answered (chattr +D), as Holdfast's are; by itself ganesha answers before.
 *
 * Needs root: it opens files by handle, and registers with a portmapper, which is started where none runs.
 */
async function startGanesha(name: 'ganesha' | 'ganesha dirsync'): Promise<Contestant | null> {
  const program = await findProgram('ganesha.nfsd');
  if (program === null || process.getuid?.() !== 0) return null;
  const processes: Running[] = [];
  const rpcbind = await findProgram('rpcbind');
  const registered = await succeeds('rpcinfo', ['-s']);
  if (!registered && rpcbind !== null) {
    // 127.0.0.1 is added by itself; naming it once more crashes the rpcbind of Debian 12.
    processes.push(new Running(rpcbind, ['-f', '-h', '127.0.0.2']));
    await listens(111);
  }
  const directory = scratchDirectory();
  const share = path.join(directory, 'export');
  mkdirSync(share);
  mkdirSync(path.join(directory, 'recovery'));
  if (name === 'ganesha dirsync' && !(await succeeds('chattr', ['+D', share]))) {
    removeScratch(directory);
    return null;
  }
  const [port = 0, mountPort = 0] = await freePorts(2);
  const config = path.join(directory, 'ganesha.conf');
  writeFileSync(config, ganeshaConfig(directory, share, port, mountPort));
  // It keeps what it has seen open: with few descriptors it soon answers nothing but "later".
  const words = ['-F', '-f', config, '-L', path.join(directory, 'log'), '-p', path.join(directory, 'pid')];
  processes.push(new Running('/bin/sh', ['-c', 'ulimit -n 500000; exec "$0" "$@"', program, ...words]));
  await listens(port);
  return {
    name,
    url: `nfs://${HOST}${share}/f?nfsport=${port}&mountport=${mountPort}`,
    settle: () => Promise.resolve(),
    pause: () => processes.at(-1)?.signal('SIGSTOP'),
    resume: () => processes.at(-1)?.signal('SIGCONT'),
    end: async () => {
      await Promise.all(processes.map((one) => one.kill()));
      removeScratch(directory);
    },
  };
}

function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  return output(command, args).then(
    () => true,
    () => false,
  );
}

function ganeshaConfig(directory: string, share: string, port: number, mountPort: number): string {
  return `NFS_CORE_PARAM { NFS_Protocols = 3; NFS_Port = ${port}; MNT_Port = ${mountPort}; Bind_addr = ${HOST}; Enable_NLM = false; Enable_RQUOTA = false; }
NFSv4 { Graceless = true; RecoveryRoot = ${directory}/recovery; }
EXPORT { Export_Id = 1; Path = ${share}; Pseudo = /e; Access_Type = RW; Squash = No_Root_Squash; Protocols = 3; Transports = TCP; SecType = sys; FSAL { Name = VFS; } }
LOG { Default_Log_Level = WARN; }
`;
}

function medians(all: readonly Measured[]): string {
  const rows = [['case', 'who', 'ops/s', 'MB/s', 'p50 us', 'p99 us', 'spread', 'others']];
  for (const [name, { title }] of Object.entries(CASES)) {
    for (const who of NAMES) {
      const some = all.filter((one) => one.case === name && one.contestant === who);
      if (some.length === 0) continue;
      const of = (key: 'opsPerSecond' | 'mbPerSecond' | 'p50Us' | 'p99Us' | 'others'): number =>
        median(some.map((one) => one[key]));
      const ops = some.map((one) => one.opsPerSecond);
      const spread = (Math.max(...ops) - Math.min(...ops)) / of('opsPerSecond');
      const numbers = [of('opsPerSecond'), of('mbPerSecond'), of('p50Us'), of('p99Us')].map((value) =>
        value.toFixed(0),
      );
      rows.push([title, who, ...numbers, percent(spread), percent(of('others'))]);
    }
  }
  return table(rows);
}

function goals(all: readonly Measured[]): string {
  const rows = [['case', 'who', 'against', 'ratio', 'rounds', 'must', 'aim', '']];
  for (const one of GOALS) {
    const of = (who: Name, round: number): number | undefined =>
      all.find((m) => m.case === one.case && m.contestant === who && m.round === round)?.[one.of];
    const ratios = [...new Set(all.map(({ round }) => round))].flatMap((round) => {
      const [ours, theirs] = [of(one.ours, round), of(one.against, round)];
      return ours === undefined || theirs === undefined || theirs === 0 ? [] : [ours / theirs];
    });
    if (ratios.length === 0) continue;
    const ratio = median(ratios);
    const isLatency = one.of === 'p50Us';
    const reaches = (limit: number): boolean => (isLatency ? ratio <= limit : ratio >= limit);
    const verdict = reaches(one.aim) ? 'aim' : reaches(one.must) ? 'ok' : 'SHORT';
    const range = `${Math.min(...ratios).toFixed(2)}..${Math.max(...ratios).toFixed(2)}`;
    const limit = `${isLatency ? 'at most' : 'at least'} ${one.must}`;
    rows.push([CASES[one.case].title, one.ours, one.against, ratio.toFixed(2), range, limit, String(one.aim), verdict]);
  }
  return table(rows);
}
