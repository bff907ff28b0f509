/** Waiting with an end: whatever the demo waits for too long is its failure, named. */
import { ExitCode, Failure } from '../exit.ts';

/** Longest wait for any step. Far more than a step needs. */
const STEP_MS = 60_000;

const tooLong = (what: string): Failure => new Failure(ExitCode.failed, `waited ${STEP_MS / 1_000} s in vain: ${what}`);

/** Looks again and again until `isSo`; an exception is taken for "not yet". `check` may end it by throwing. */
export async function until(
  what: string,
  isSo: () => Promise<boolean>,
  check: () => void,
  everyMs = 50,
): Promise<void> {
  const startedMs = performance.now();
  for (;;) {
    try {
      if (await isSo()) return;
    } catch {
      // It does not answer yet.
    }
    check();
    if (performance.now() - startedMs > STEP_MS) throw tooLong(what);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** The promise's outcome, if it comes in time. */
export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(tooLong(what)), STEP_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
