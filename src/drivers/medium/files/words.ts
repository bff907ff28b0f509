/**
 * What the tree's own threads are asked and what they answer. Everything here is copied from thread to thread: names and
 * link targets are strings of bytes ('latin1'), descriptors are numbers, which all threads of the process share.
 *
 * `fd` in a question is the asker's open descriptor of the object, kept open until the answer, or -1. An answer's `opened`
 * is a descriptor that was opened on the way and is the asker's from then on, or -1.
 */
import type { RawListing } from './directory-reader.ts';
import type { Attributes, AttributeChange, Creation, ObjectId, ObjectType, Usage } from '../../../ports/tree.ts';

/** How objects are named: by the kernel's handles, or by inode number and birth time with an index of the tree. */
export type HandleKind = 'kernel' | 'index';

/**
 * Who makes changes durable: the thread that makes them, by syncing everything that a batch of them touched, or only what
 * its last one touched (where that is known to do: keeps-order.ts), or the asker (committer.ts).
 */
export type Syncs = 'each' | 'last' | 'asker';

/** What a thread is given before its first question. */
export interface ThreadSetup {
  /** The exported directory, opened for reading. */
  readonly rootFd: number;
  /** Where creations are prepared, opened for reading. */
  readonly newFd: number;
  readonly handles: HandleKind;
  /** Other machines write to the medium too: files are opened O_DSYNC, and what this machine had cached is dropped. */
  readonly shared: boolean;
  readonly changesOwners: boolean;
  /** Most objects that the index remembers the place of. */
  readonly indexMax: number;
  /** Tells this thread's preparations from others'. */
  readonly tag: string;
  readonly syncs: Syncs;
}

export interface FoundObject {
  readonly id: ObjectId;
  readonly attributes: Attributes;
}

/** A `Creation` in words that can be copied. */
export interface CreationWords {
  readonly type: Creation['type'];
  readonly to: string;
  readonly major: number;
  readonly minor: number;
  readonly attributes: AttributeChange;
}

/** What an object lost: a name, and with the last of them everything. */
export interface LostName {
  readonly id: ObjectId;
  readonly gone: boolean;
  /** A descriptor whose closing gives the object's room back, which may take long; or -1. */
  readonly last: number;
}

interface OfObject {
  readonly id: ObjectId;
  readonly fd: number;
}
interface OfName extends OfObject {
  readonly name: string;
}

/** Each question with its answer. */
export interface Questions {
  readonly attributes: readonly [ask: OfObject, answer: { readonly attributes: Attributes }];
  readonly lookup: readonly [ask: OfName, answer: FoundObject & { readonly opened: number }];
  readonly readLink: readonly [ask: OfObject, answer: { readonly to: string }];
  /** `cookie` and about how many entries. */
  readonly list: readonly [ask: OfObject & { readonly cookie: bigint; readonly most: number }, answer: RawListing];
  readonly usage: readonly [ask: Record<string, never>, answer: Usage];
  /** Opens a regular file for reading and writing, or a directory for reading. */
  readonly open: readonly [
    ask: { readonly id: ObjectId },
    answer: { readonly opened: number; readonly type: ObjectType },
  ];
  readonly create: readonly [
    /** `keep`: a new file stays open for the asker. */
    ask: OfName & { readonly what: CreationWords; readonly keep: boolean },
    answer: FoundObject & {
      /** The new file or directory, open until it is synced, and beyond that if it is to be kept; or -1. */
      readonly fd: number;
      readonly opened: number;
      readonly directory: Attributes;
    },
  ];
  readonly change: readonly [
    ask: OfObject & { readonly change: AttributeChange },
    answer: { readonly attributes: Attributes; readonly opened: number },
  ];
  readonly link: readonly [
    ask: OfName & { readonly object: ObjectId; readonly objectFd: number },
    answer: {
      readonly attributes: Attributes;
      readonly opened: number;
      readonly objectOpened: number;
      readonly directory: Attributes;
    },
  ];
  readonly remove: readonly [
    ask: OfName & { readonly isDirectory: boolean },
    answer: { readonly lost: LostName; readonly opened: number; readonly directory: Attributes },
  ];
  readonly rename: readonly [
    ask: OfName & { readonly to: ObjectId; readonly toFd: number; readonly toName: string },
    answer: {
      readonly moved: ObjectId;
      readonly replaced: LostName | null;
      readonly opened: number;
      readonly toOpened: number;
      readonly directory: Attributes;
      readonly toDirectory: Attributes;
    },
  ];
  /** Closes descriptors that are not the last ones of what was removed, so that it is done at once. */
  readonly close: readonly [ask: { readonly fds: readonly number[] }, answer: Record<string, never>];
  /** Sets mtime of an open file. */
  readonly stamp: readonly [ask: { readonly fd: number; readonly timeNs: bigint }, answer: Record<string, never>];
}
export type Op = keyof Questions;
export type Ask<K extends Op> = Questions[K][0];
export type Answer<K extends Op> = Questions[K][1];

/** A question on its way. */
export interface Question {
  readonly number: number;
  readonly op: Op;
  readonly ask: Ask<Op>;
}
/**
 * Its answer: `errno` is 0 or says why there is none. With an answer it says that the change was made and could not be made
 * durable.
 */
export interface Reply {
  readonly number: number;
  readonly errno: number;
  readonly answer: Answer<Op> | null;
  /** Of a change: it is durable. Otherwise the asker syncs. */
  readonly durable: boolean;
}
