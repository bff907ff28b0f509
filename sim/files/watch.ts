/** What the checkers are told of files volumes on the device. */
import type { ObjectId } from '../../src/ports/tree.ts';
import type { Life } from '../life.ts';
import type { Deed } from './deeds.ts';
import type { FilesPlatter, Version } from './platter.ts';

export interface FilesWatch {
  /** Cells of a file are about to be written: a tag for each. */
  written(life: Life, volume: number, target: ObjectId, first: number, tags: readonly number[]): void;
  /** A file is about to be zeroed, or resized to so many cells. */
  changed(life: Life, volume: number, target: ObjectId, size: number | null): void;
  stamped(life: Life, volume: number, target: ObjectId, time: number): void;
  /** A call on the tree was begun. */
  called(life: Life, volume: number): void;
  /** A file was made: empty, with that time. */
  made(volume: number, id: ObjectId, time: number): void;
  /** The last name of a file is gone. */
  gone(volume: number, id: ObjectId): void;
  /** The tree was changed. */
  tree(volume: number, version: Version): void;
  /** Power was lost, and with it these changes. */
  lost(volume: number, gone: readonly Version[], files: FilesPlatter): void;
  /** Whose change of attributes it is, by the owner that it sets. */
  deedOfOwner(volume: number, uid: number): Deed | null;
}
