/**
 * The results of the 22 procedures of NFS version 3 (RFC 1813, section 3.3), tagged by `procedure` and `status`; the
 * words they are made of stand in types.ts.
 */
import type { Fattr3, NfsError, NfsOk, PostOpAttributes, ProcedureName, ReadPiece, Stable, WccData } from './types.ts';

export interface NullResult {
  readonly procedure: 'null';
}
export type GetattrResult =
  | { readonly procedure: 'getattr'; readonly status: NfsOk; readonly attributes: Fattr3 }
  | { readonly procedure: 'getattr'; readonly status: NfsError };
export interface SetattrResult {
  readonly procedure: 'setattr';
  readonly status: NfsOk | NfsError;
  readonly wcc: WccData;
}
export type LookupResult =
  | {
      readonly procedure: 'lookup';
      readonly status: NfsOk;
      readonly handle: Buffer;
      readonly attributes: PostOpAttributes;
      readonly directory: PostOpAttributes;
    }
  | { readonly procedure: 'lookup'; readonly status: NfsError; readonly directory: PostOpAttributes };
export type AccessResult =
  | {
      readonly procedure: 'access';
      readonly status: NfsOk;
      readonly attributes: PostOpAttributes;
      readonly access: number;
    }
  | { readonly procedure: 'access'; readonly status: NfsError; readonly attributes: PostOpAttributes };
export type ReadlinkResult =
  | {
      readonly procedure: 'readlink';
      readonly status: NfsOk;
      readonly attributes: PostOpAttributes;
      readonly to: Buffer;
    }
  | { readonly procedure: 'readlink'; readonly status: NfsError; readonly attributes: PostOpAttributes };
export type ReadResult =
  | {
      readonly procedure: 'read';
      readonly status: NfsOk;
      readonly attributes: PostOpAttributes;
      /** Sum of the pieces' lengths. */
      readonly count: number;
      readonly eof: boolean;
      /** In order; a null `data` stands for `length` zeroes. Sent without a copy: never changed afterwards. */
      readonly pieces: readonly ReadPiece[];
    }
  | { readonly procedure: 'read'; readonly status: NfsError; readonly attributes: PostOpAttributes };
export type WriteResult =
  | {
      readonly procedure: 'write';
      readonly status: NfsOk;
      readonly wcc: WccData;
      readonly count: number;
      readonly committed: Stable;
      readonly verifier: bigint;
    }
  | { readonly procedure: 'write'; readonly status: NfsError; readonly wcc: WccData };

/** What CREATE, MKDIR, SYMLINK and MKNOD say; a null handle makes the client look the name up. */
export interface Made {
  readonly status: NfsOk;
  readonly handle: Buffer | null;
  readonly attributes: PostOpAttributes;
  readonly directory: WccData;
}
export interface NotMade {
  readonly status: NfsError;
  readonly directory: WccData;
}
export type MakingName = 'create' | 'mkdir' | 'symlink' | 'mknod';
export type MadeResult = { readonly procedure: MakingName } & (Made | NotMade);
export type CreateResult = { readonly procedure: 'create' } & (Made | NotMade);
export type MkdirResult = { readonly procedure: 'mkdir' } & (Made | NotMade);
export type SymlinkResult = { readonly procedure: 'symlink' } & (Made | NotMade);
export type MknodResult = { readonly procedure: 'mknod' } & (Made | NotMade);

export interface RemoveResult {
  readonly procedure: 'remove';
  readonly status: NfsOk | NfsError;
  readonly directory: WccData;
}
export interface RmdirResult {
  readonly procedure: 'rmdir';
  readonly status: NfsOk | NfsError;
  readonly directory: WccData;
}
export interface RenameResult {
  readonly procedure: 'rename';
  readonly status: NfsOk | NfsError;
  readonly from: WccData;
  readonly to: WccData;
}
export interface LinkResult {
  readonly procedure: 'link';
  readonly status: NfsOk | NfsError;
  readonly attributes: PostOpAttributes;
  readonly directory: WccData;
}

/** entry3. */
export interface Entry {
  readonly fileNumber: bigint;
  readonly name: Buffer;
  readonly cookie: bigint;
}
/** entryplus3. */
export interface EntryPlus extends Entry {
  readonly attributes: PostOpAttributes;
  readonly handle: Buffer | null;
}
export type ReaddirResult =
  | {
      readonly procedure: 'readdir';
      readonly status: NfsOk;
      readonly attributes: PostOpAttributes;
      readonly verifier: bigint;
      readonly entries: readonly Entry[];
      readonly eof: boolean;
    }
  | { readonly procedure: 'readdir'; readonly status: NfsError; readonly attributes: PostOpAttributes };
export type ReaddirplusResult =
  | {
      readonly procedure: 'readdirplus';
      readonly status: NfsOk;
      readonly attributes: PostOpAttributes;
      readonly verifier: bigint;
      readonly entries: readonly EntryPlus[];
      readonly eof: boolean;
    }
  | { readonly procedure: 'readdirplus'; readonly status: NfsError; readonly attributes: PostOpAttributes };

export type FsstatResult =
  | {
      readonly procedure: 'fsstat';
      readonly status: NfsOk;
      readonly attributes: PostOpAttributes;
      readonly totalBytes: number;
      readonly freeBytes: number;
      readonly availableBytes: number;
      readonly totalObjects: number;
      readonly freeObjects: number;
      readonly availableObjects: number;
      /** Seconds for which the file system is not expected to change. */
      readonly invariantSeconds: number;
    }
  | { readonly procedure: 'fsstat'; readonly status: NfsError; readonly attributes: PostOpAttributes };
export type FsinfoResult =
  | {
      readonly procedure: 'fsinfo';
      readonly status: NfsOk;
      readonly attributes: PostOpAttributes;
      readonly rtmax: number;
      readonly rtpref: number;
      readonly rtmult: number;
      readonly wtmax: number;
      readonly wtpref: number;
      readonly wtmult: number;
      readonly dtpref: number;
      readonly maxFileBytes: number;
      /** Granularity of times. */
      readonly timeDeltaNs: bigint;
      /** Bits of `FsProperty`. */
      readonly properties: number;
    }
  | { readonly procedure: 'fsinfo'; readonly status: NfsError; readonly attributes: PostOpAttributes };
export type PathconfResult =
  | {
      readonly procedure: 'pathconf';
      readonly status: NfsOk;
      readonly attributes: PostOpAttributes;
      readonly linkMax: number;
      readonly nameMax: number;
      readonly noTruncation: boolean;
      readonly chownRestricted: boolean;
      readonly caseInsensitive: boolean;
      readonly casePreserving: boolean;
    }
  | { readonly procedure: 'pathconf'; readonly status: NfsError; readonly attributes: PostOpAttributes };
export type CommitResult =
  | { readonly procedure: 'commit'; readonly status: NfsOk; readonly wcc: WccData; readonly verifier: bigint }
  | { readonly procedure: 'commit'; readonly status: NfsError; readonly wcc: WccData };

export type NfsResult =
  | NullResult
  | GetattrResult
  | SetattrResult
  | LookupResult
  | AccessResult
  | ReadlinkResult
  | ReadResult
  | WriteResult
  | CreateResult
  | MkdirResult
  | SymlinkResult
  | MknodResult
  | RemoveResult
  | RmdirResult
  | RenameResult
  | LinkResult
  | ReaddirResult
  | ReaddirplusResult
  | FsstatResult
  | FsinfoResult
  | PathconfResult
  | CommitResult;

/** The results of one procedure. */
export type ResultOf<P extends ProcedureName> = Extract<NfsResult, { readonly procedure: P }>;
