/** Sets an object's mtime, on the tree's thread: Node's own call takes times as floating point, and loses their last digits. */
import { fsync } from 'node:fs';
import type { Done, Fault } from '../../../base/fault.ts';
import { faultOfErrno, faultOfError } from '../../linux/errno.ts';
import type { Call } from '../raw-calls.ts';
import type { Crew } from './crew.ts';
import type { OpenObject } from './open-objects.ts';

export class StampCall implements Call {
  readonly #crew: Crew;
  readonly #object: OpenObject;
  readonly #timeNs: bigint;
  readonly #done: Done;

  constructor(crew: Crew, object: OpenObject, timeNs: bigint, done: Done) {
    this.#crew = crew;
    this.#object = object;
    this.#timeNs = timeNs;
    this.#done = done;
  }

  start(): void {
    const what = `Setting the time of ${this.#object.path}`;
    this.#crew.ask('stamp', { fd: this.#object.fd, timeNs: this.#timeNs }, (errno) => {
      if (errno !== 0) return this.#end(faultOfErrno(errno, what));
      if (!this.#object.syncsRanges) return this.#end(null);
      fsync(this.#object.fd, (error) => this.#end(error === null ? null : faultOfError(error, what)));
    });
  }

  fail(fault: Fault): void {
    this.#done(fault);
  }

  #end(fault: Fault | null): void {
    this.#object.returned();
    this.#done(fault);
  }
}
