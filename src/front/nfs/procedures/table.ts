/** The procedures by their names: those that change nothing, and those that must not be carried out twice. READ and WRITE go their own, shorter way. */
import type { NfsArguments } from '../../../wire/nfs/types.ts';
import type { NfsResult } from '../../../wire/nfs/results.ts';
import type { Outcome } from '../faults.ts';
import type { Actor } from '../permissions.ts';
import type { Recording } from '../recording.ts';
import type { Scope } from '../scope.ts';
import type { Volume } from '../volume.ts';
import { access } from './access.ts';
import { commit } from './commit.ts';
import { create } from './create.ts';
import { fsinfo } from './fsinfo.ts';
import { fsstat } from './fsstat.ts';
import { getattr } from './getattr.ts';
import { link } from './link.ts';
import { lookup } from './lookup.ts';
import { mkdir } from './mkdir.ts';
import { mknod } from './mknod.ts';
import { nothing } from './null.ts';
import { pathconf } from './pathconf.ts';
import { readdir } from './readdir.ts';
import { readdirplus } from './readdirplus.ts';
import { readlink } from './readlink.ts';
import { remove } from './remove.ts';
import { rename } from './rename.ts';
import { rmdir } from './rmdir.ts';
import { setattr } from './setattr.ts';
import { symlink } from './symlink.ts';

type Recorded = 'setattr' | 'create' | 'mkdir' | 'symlink' | 'mknod' | 'remove' | 'rmdir' | 'rename' | 'link';
export type RecordedArguments = Extract<NfsArguments, { readonly procedure: Recorded }>;
export type PlainArguments = Exclude<NfsArguments, { readonly procedure: Recorded | 'read' | 'write' }>;

/** What a procedure that changes nothing comes to. */
export function plainOutcome(
  volume: Volume,
  asked: PlainArguments,
  actor: Actor,
  scope: Scope,
): Promise<Outcome<NfsResult>> {
  switch (asked.procedure) {
    case 'null':
      return nothing(volume, asked, actor, scope);
    case 'getattr':
      return getattr(volume, asked, actor, scope);
    case 'lookup':
      return lookup(volume, asked, actor, scope);
    case 'access':
      return access(volume, asked, actor, scope);
    case 'readlink':
      return readlink(volume, asked, actor, scope);
    case 'readdir':
      return readdir(volume, asked, actor, scope);
    case 'readdirplus':
      return readdirplus(volume, asked, actor, scope);
    case 'fsstat':
      return fsstat(volume, asked, actor, scope);
    case 'fsinfo':
      return fsinfo(volume, asked, actor, scope);
    case 'pathconf':
      return pathconf(volume, asked, actor, scope);
    case 'commit':
      return commit(volume, asked, actor, scope);
  }
}

/** What a procedure comes to that must not be carried out twice. */
export function recordedOutcome(
  volume: Volume,
  asked: RecordedArguments,
  actor: Actor,
  recording: Recording,
): Promise<Outcome<NfsResult>> {
  switch (asked.procedure) {
    case 'setattr':
      return setattr(volume, asked, actor, recording);
    case 'create':
      return create(volume, asked, actor, recording);
    case 'mkdir':
      return mkdir(volume, asked, actor, recording);
    case 'symlink':
      return symlink(volume, asked, actor, recording);
    case 'mknod':
      return mknod(volume, asked, actor, recording);
    case 'remove':
      return remove(volume, asked, actor, recording);
    case 'rmdir':
      return rmdir(volume, asked, actor, recording);
    case 'rename':
      return rename(volume, asked, actor, recording);
    case 'link':
      return link(volume, asked, actor, recording);
  }
}
