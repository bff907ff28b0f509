/**
 * What the process of a server is given when it begins, and can have from nobody but its parent: threads and heap.
 */

/**
 * Threads for file I/O, unless the environment says otherwise. Node's own 4 would be too few: a medium that hangs keeps
 * up to 16 of them per volume, and a journal must never wait for one.
 */
const POOL_THREADS = 32;

/** In MiB, as V8 counts it: there are two of them. */
const SEMI_SPACE_MIB = 32;

/**
 * An operation lives until the medium has it, for a second or so. In V8's usual young generation of 16 MiB each one is
 * copied twice and then left to the old one; in a larger one most of them end where they began.
 */
export const SERVER_NODE_OPTIONS: readonly string[] = [
  `--min-semi-space-size=${SEMI_SPACE_MIB}`,
  `--max-semi-space-size=${SEMI_SPACE_MIB}`,
];

export const SERVER_ENVIRONMENT: Readonly<Record<string, string>> = { UV_THREADPOOL_SIZE: String(POOL_THREADS) };
