/**
 * A step of the real world, for suites that go on until something has happened: a turn of the event loop, and now and
 * then a millisecond, so that a slow disk is waited for without burning the processor.
 */
let steps = 0;

/** Time goes on a little. */
export function realStep(): Promise<void> {
  steps += 1;
  return new Promise((resolve) => {
    if (steps % 64 === 0) setTimeout(resolve, 1);
    else setImmediate(resolve);
  });
}
