/**
 * Sorting of many numbers by their digits, in time that grows with their count alone: what a comparison per step would
 * cost, with a batch of sixteen thousand, is a pause.
 */

/** Bits of a digit: its counts stay in the nearest cache. */
const DIGIT_BITS = 11;
const DIGITS = 1 << DIGIT_BITS;
/** So few are sorted sooner one by one than digits are counted. */
const FEW = 64;

type Order = Uint32Array<ArrayBuffer>;

/**
 * The indices of `keys` in ascending order of what is there; equal keys keep their order.
 * @param keys whole numbers from 0 up to 2^53.
 */
export function ascending(keys: Float64Array): Order {
  const order = new Uint32Array(keys.length);
  for (let i = 0; i < order.length; i += 1) order[i] = i;
  if (keys.length <= FEW) return insertOneByOne(keys, order);
  const lows = new Uint32Array(keys.length);
  const highs = new Uint32Array(keys.length);
  for (let i = 0; i < keys.length; i += 1) {
    lows[i] = keys[i]! >>> 0;
    highs[i] = keys[i]! / 2 ** 32;
  }
  return byWord(highs, byWord(lows, order));
}

function insertOneByOne(keys: Float64Array, order: Order): Order {
  for (let i = 1; i < order.length; i += 1) {
    const key = keys[i]!;
    let at = i;
    for (; at > 0 && keys[order[at - 1]!]! > key; at -= 1) order[at] = order[at - 1]!;
    order[at] = i;
  }
  return order;
}

/** Digit by digit, the lowest first; one that is the same in all words changes nothing. May use `order` up. */
function byWord(words: Uint32Array, order: Order): Order {
  let differing = 0;
  for (let i = 0; i < words.length; i += 1) differing |= words[i]! ^ words[0]!;
  let sorted = order;
  let other = new Uint32Array(order.length);
  const starts = new Uint32Array(DIGITS);
  for (let shift = 0; shift < 32; shift += DIGIT_BITS) {
    if (((differing >>> shift) & (DIGITS - 1)) === 0) continue;
    starts.fill(0);
    for (let i = 0; i < words.length; i += 1) starts[(words[i]! >>> shift) & (DIGITS - 1)]! += 1;
    let start = 0;
    for (let digit = 0; digit < DIGITS; digit += 1) {
      const count = starts[digit]!;
      starts[digit] = start;
      start += count;
    }
    for (let i = 0; i < sorted.length; i += 1) {
      const index = sorted[i]!;
      const digit = (words[index]! >>> shift) & (DIGITS - 1);
      const at = starts[digit]!;
      starts[digit] = at + 1;
      other[at] = index;
    }
    [sorted, other] = [other, sorted];
  }
  return sorted;
}
