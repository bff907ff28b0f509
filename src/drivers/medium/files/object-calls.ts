/** Calls on the bytes of an object that are not as those on an image (raw-calls.ts, raw-ranges.ts). */
import { fstat, fsync, ftruncate } from 'node:fs';
import type { Done, Fault } from '../../../base/fault.ts';
import { faultOfError } from '../../linux/errno.ts';
import type { Call } from '../raw-calls.ts';
import { ZeroCall } from '../raw-ranges.ts';
import type { OpenObject } from './open-objects.ts';

/** Zeroes the part of the range that the object has; beyond its end there are zeroes already. */
export class ObjectZeroCall implements Call {
  readonly #object: OpenObject;
  readonly #offset: number;
  readonly #length: number;
  readonly #punch: boolean;
  readonly #done: Done;

  constructor(object: OpenObject, offset: number, length: number, punch: boolean, done: Done) {
    this.#object = object;
    this.#offset = offset;
    this.#length = length;
    this.#punch = punch;
    this.#done = done;
  }

  start(): void {
    fstat(this.#object.fd, (error, found) => {
      if (error !== null || found.size <= this.#offset) {
        this.#object.returned();
        return this.#done(error === null ? null : faultOfError(error, `Looking at ${this.#object.path}`));
      }
      const length = Math.min(this.#length, found.size - this.#offset);
      new ZeroCall(this.#object, this.#offset, length, this.#punch, this.#done).start();
    });
  }

  fail(fault: Fault): void {
    this.#done(fault);
  }
}

export class ResizeCall implements Call {
  readonly #object: OpenObject;
  readonly #sizeBytes: number;
  readonly #done: Done;

  constructor(object: OpenObject, sizeBytes: number, done: Done) {
    this.#object = object;
    this.#sizeBytes = sizeBytes;
    this.#done = done;
  }

  start(): void {
    ftruncate(this.#object.fd, this.#sizeBytes, (error) => {
      if (error === null && this.#object.syncsRanges) return fsync(this.#object.fd, (failed) => this.#end(failed));
      this.#end(error);
    });
  }

  fail(fault: Fault): void {
    this.#done(fault);
  }

  #end(error: Error | null): void {
    this.#object.returned();
    this.#done(
      error === null ? null : faultOfError(error, `Resizing ${this.#object.path} to ${this.#sizeBytes} bytes`),
    );
  }
}
