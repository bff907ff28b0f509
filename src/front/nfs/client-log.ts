/**
 * Lines about clients, so many a second: what clients do must not fill the disk that the log lies on. What is left out
 * is counted, and the count is told.
 */
import type { NfsLog } from './program.ts';

const LINES_A_SECOND = 100;

export class ClientLog {
  readonly #log: NfsLog;
  readonly #volume: string;
  #lines = 0;
  #leftOut = 0;

  constructor(log: NfsLog, volume: string) {
    this.#log = log;
    this.#volume = volume;
  }

  readonly note: NfsLog = (event, fields) => {
    if (this.#lines >= LINES_A_SECOND) {
      this.#leftOut++;
      return;
    }
    this.#lines++;
    this.#log(event, fields);
  };

  /** A second has passed. */
  tick(): void {
    const leftOut = this.#leftOut;
    this.#lines = 0;
    this.#leftOut = 0;
    if (leftOut === 0) return;
    const reason = `clients did more than is told: ${leftOut} lines were left out`;
    this.#log('nfs.refuse', { volume: this.#volume, client: null, reason });
  }
}
