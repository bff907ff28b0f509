import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { NfsStatus } from '../../wire/nfs/types.ts';
import type { Sattr3 } from '../../wire/nfs/types.ts';
import {
  May,
  actorOf,
  attributesOfNew,
  grantedAccess,
  judgeChange,
  mayAdd,
  mayRead,
  mayWrite,
  modeAfterWrite,
  permits,
  removalError,
} from './permissions.ts';
import type { Actor, Guarded } from './permissions.ts';

const NOTHING: Sattr3 = { mode: null, uid: null, gid: null, sizeBytes: null, atime: null, mtime: null };
const ROOT: Actor = { uid: 0, gid: 0, gids: [] };
const OWNER: Actor = { uid: 10, gid: 10, gids: [] };
const MEMBER: Actor = { uid: 11, gid: 11, gids: [30, 20] };
const STRANGER: Actor = { uid: 12, gid: 12, gids: [] };
const file = (mode: number): Guarded => ({ type: 'file', mode, uid: 10, gid: 20 });
const directory = (mode: number): Guarded => ({ type: 'directory', mode, uid: 10, gid: 20 });

test('the owner has the owner bits alone, the group the group bits, the rest the rest', () => {
  const table: readonly (readonly [actor: Actor, mode: number, wanted: number, granted: boolean])[] = [
    [OWNER, 0o400, May.read, true],
    [OWNER, 0o077, May.read, false],
    [MEMBER, 0o040, May.read, true],
    [MEMBER, 0o707, May.read, false],
    [STRANGER, 0o004, May.read, true],
    [STRANGER, 0o770, May.read, false],
    [OWNER, 0o600, May.read | May.write, true],
    [OWNER, 0o400, May.read | May.write, false],
    [ROOT, 0o000, May.read | May.write, true],
    [ROOT, 0o000, May.execute, false],
    [ROOT, 0o001, May.execute, true],
  ];
  for (const [actor, mode, wanted, granted] of table)
    assert.equal(permits(actor, file(mode), wanted), granted, `${actor.uid} ${mode.toString(8)} ${wanted}`);
  assert.equal(permits(ROOT, directory(0), May.execute), true);
});

test('over NFS an owner reads and writes its file whatever the mode, and who may execute reads', () => {
  assert.equal(mayRead(OWNER, file(0)), true);
  assert.equal(mayWrite(OWNER, file(0o444)), true);
  assert.equal(mayRead(STRANGER, file(0o711)), true);
  assert.equal(mayRead(STRANGER, file(0o710)), false);
  assert.equal(mayWrite(STRANGER, file(0o755)), false);
});

test('ACCESS promises nothing that is refused, and knows what does not apply', () => {
  assert.equal(grantedAccess(OWNER, file(0), 63, false), 0);
  assert.equal(grantedAccess(OWNER, file(0o700), 63, false), 1 | 4 | 8 | 32);
  assert.equal(grantedAccess(OWNER, file(0o700), 63, true), 1 | 32);
  assert.equal(grantedAccess(OWNER, directory(0o700), 63, false), 1 | 2 | 4 | 8 | 16);
  assert.equal(grantedAccess(OWNER, directory(0o200), 63, false), 0);
  assert.equal(grantedAccess(OWNER, directory(0o700), 63, true), 1 | 2);
  assert.equal(grantedAccess(OWNER, { ...file(0o600), type: 'fifo' }, 63, true), 1 | 4 | 8);
});

test('squashing', () => {
  const anonymous = { anonUid: 99, anonGid: 98 };
  const credential = { uid: 0, gid: 0, gids: [0, 5] };
  assert.deepEqual(actorOf(credential, { squash: 'none', ...anonymous }), credential);
  assert.deepEqual(actorOf(credential, { squash: 'root', ...anonymous }), { uid: 99, gid: 98, gids: [98, 5] });
  const other = { uid: 7, gid: 0, gids: [0, 7] };
  assert.deepEqual(actorOf(other, { squash: 'root', ...anonymous }), { uid: 7, gid: 98, gids: [98, 7] });
  for (const who of [credential, other, null])
    assert.deepEqual(actorOf(who, { squash: 'all', ...anonymous }), { uid: 99, gid: 98, gids: [] });
  assert.deepEqual(actorOf(null, { squash: 'none', ...anonymous }), { uid: 99, gid: 98, gids: [] });
});

test('times to the clock need what writing needs, other times the owner', () => {
  const writable = file(0o606);
  assert.equal(typeof judgeChange(STRANGER, writable, { ...NOTHING, mtime: 'now' }), 'object');
  assert.equal(judgeChange(STRANGER, file(0o600), { ...NOTHING, mtime: 'now' }), NfsStatus.acces);
  assert.equal(judgeChange(STRANGER, writable, { ...NOTHING, mtime: 5n }), NfsStatus.perm);
  assert.equal(typeof judgeChange(OWNER, file(0), { ...NOTHING, atime: 5n }), 'object');
});

test('a size is a file’s alone', () => {
  assert.equal(judgeChange(ROOT, directory(0o777), { ...NOTHING, sizeBytes: 0 }), NfsStatus.isdir);
  assert.equal(judgeChange(ROOT, { ...file(0o777), type: 'fifo' }, { ...NOTHING, sizeBytes: 0 }), NfsStatus.inval);
});

// ---- against the kernel

const isRoot = process.getuid?.() === 0;

/** Runs `work` with the effective ids of `actor`, as a kernel NFS server does; the errno's name, or null. */
function as(actor: Actor, work: () => void): string | null {
  const groups = process.getgroups?.() ?? [];
  process.setgroups?.([...actor.gids]);
  process.setegid?.(actor.gid);
  process.seteuid?.(actor.uid);
  try {
    work();
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'bug';
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
    process.setgroups?.(groups);
  }
}

const ids = fc.constantFrom(0, 10, 11);
const groups = fc.constantFrom(0, 20, 21);
const actors = fc.record({ uid: ids, gid: groups, gids: fc.subarray([0, 20, 21, 22]) });
const modes = fc.nat(0o7777);

/** What `work` makes of a file or directory of that kind; everything stands again as it was at each call. */
function inScratch(run: (place: string) => void): void {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-permissions-'));
  fs.chmodSync(place, 0o777);
  try {
    run(place);
  } finally {
    fs.rmSync(place, { recursive: true, force: true });
  }
}

function put(at: string, { type, mode, uid, gid }: Guarded): void {
  fs.rmSync(at, { recursive: true, force: true });
  if (type === 'directory') fs.mkdirSync(at);
  else fs.writeFileSync(at, 'text');
  fs.chownSync(at, uid, gid);
  fs.chmodSync(at, mode);
}

function look(at: string): { readonly mode: number; readonly uid: number; readonly gid: number } {
  const { mode, uid, gid } = fs.statSync(at);
  return { mode: mode & 0o7777, uid, gid };
}

const skip = isRoot ? false : 'needs root';

test('files: opened, written and cut as the kernel allows', { skip }, () => {
  inScratch((place) => {
    const at = path.join(place, 'f');
    fc.assert(
      fc.property(actors, modes, ids, groups, (actor, mode, uid, gid) => {
        const object: Guarded = { type: 'file', mode, uid, gid };
        put(at, object);
        const reads = as(actor, () => fs.closeSync(fs.openSync(at, fs.constants.O_RDONLY)));
        assert.equal(permits(actor, object, May.read), reads === null);
        let fd = -1;
        const writes = as(actor, () => (fd = fs.openSync(at, fs.constants.O_WRONLY)));
        assert.equal(permits(actor, object, May.write), writes === null);
        if (writes !== null) return;
        as(actor, () => fs.writeSync(fd, 'x'));
        assert.equal(look(at).mode, modeAfterWrite(actor, object), 'after a write');
        put(at, object);
        fs.closeSync(fd);
        as(actor, () => {
          fd = fs.openSync(at, fs.constants.O_WRONLY);
          fs.ftruncateSync(fd, 1);
          fs.closeSync(fd);
        });
        const cut = judgeChange(actor, object, { ...NOTHING, sizeBytes: 1 });
        assert.ok(typeof cut === 'object');
        assert.equal(look(at).mode, cut.mode ?? mode, 'after a cut');
      }),
      { numRuns: 300 },
    );
  });
});

test('directories: looked into, listed, added to and removed from as the kernel allows', { skip }, () => {
  inScratch((place) => {
    const at = path.join(place, 'd');
    const child = path.join(at, 'child');
    fc.assert(
      fc.property(actors, modes, ids, groups, ids, (actor, mode, uid, gid, childUid) => {
        const object: Guarded = { type: 'directory', mode, uid, gid };
        const victim: Guarded = { type: 'file', mode: 0o600, uid: childUid, gid: 0 };
        put(at, object);
        put(child, victim);
        assert.equal(permits(actor, object, May.read), as(actor, () => void fs.readdirSync(at)) === null);
        assert.equal(permits(actor, object, May.execute), as(actor, () => void fs.statSync(child)) === null);
        const made = path.join(at, 'made');
        const adds = as(actor, () => fs.closeSync(fs.openSync(made, 'wx', 0o2770)));
        assert.equal(mayAdd(actor, object), adds === null);
        const removes = as(actor, () => fs.unlinkSync(child));
        const errors = { EACCES: NfsStatus.acces, EPERM: NfsStatus.perm } as const;
        const expected = removes === null ? null : errors[removes as 'EACCES' | 'EPERM'];
        assert.equal(removalError(actor, object, victim), expected);
      }),
      { numRuns: 300 },
    );
  });
});

test('what is made belongs to whom, with which mode', { skip }, () => {
  const umask = process.umask(0);
  inScratch((place) => {
    const at = path.join(place, 'd');
    fc.assert(
      fc.property(actors, modes, groups, modes, fc.boolean(), (actor, mode, gid, asked, isDirectory) => {
        const object: Guarded = { type: 'directory', mode: mode | 0o003, uid: 12, gid };
        const open: Guarded = { ...object, mode: object.mode | 0o333 };
        put(at, open);
        const made = path.join(at, 'made');
        const failed = as(actor, () => {
          if (isDirectory) fs.mkdirSync(made, asked);
          else fs.closeSync(fs.openSync(made, 'wx', asked));
        });
        assert.equal(failed, null);
        const type = isDirectory ? 'directory' : 'file';
        const expected = attributesOfNew(actor, open, type, { ...NOTHING, mode: asked }, true);
        assert.deepEqual({ ...look(made) }, expected);
      }),
      { numRuns: 300 },
    );
  });
  process.umask(umask);
});

test('chmod, chown and times as the kernel judges them', { skip }, () => {
  const change = fc.oneof(
    fc.record({ kind: fc.constant('mode' as const), mode: modes }),
    fc.record({ kind: fc.constant('owner' as const), uid: ids, gid: groups }),
    fc.record({ kind: fc.constant('times' as const) }),
  );
  inScratch((place) => {
    const at = path.join(place, 'o');
    fc.assert(
      fc.property(actors, modes, ids, groups, fc.boolean(), change, (actor, mode, uid, gid, isDirectory, asked) => {
        const object: Guarded = { type: isDirectory ? 'directory' : 'file', mode, uid, gid };
        put(at, object);
        const kernel = as(actor, () => {
          if (asked.kind === 'mode') fs.chmodSync(at, asked.mode);
          else if (asked.kind === 'owner') fs.chownSync(at, asked.uid, asked.gid);
          else fs.utimesSync(at, 5, 6);
        });
        const sattr: Sattr3 =
          asked.kind === 'mode'
            ? { ...NOTHING, mode: asked.mode }
            : asked.kind === 'owner'
              ? { ...NOTHING, uid: asked.uid, gid: asked.gid }
              : { ...NOTHING, atime: 5n, mtime: 6n };
        const verdict = judgeChange(actor, object, sattr);
        if (kernel !== null) return assert.equal(verdict, NfsStatus.perm, `the kernel says ${kernel}`);
        assert.ok(typeof verdict === 'object', `the kernel allows it, and we say ${JSON.stringify(verdict)}`);
        const after = { mode: verdict.mode ?? mode, uid: verdict.uid ?? uid, gid: verdict.gid ?? gid };
        assert.deepEqual({ ...look(at) }, after);
      }),
      { numRuns: 500 },
    );
  });
});
