/** Bytes that compress about as program files do and are the same every time: runs of a counter between noise. */
export function content(seed: number, length: number): Buffer {
  const out = Buffer.alloc(length);
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  for (let at = 0; at < length; at += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    out[at] = (at & 64) === 0 ? state & 0xff : (at >>> 7) & 0xff;
  }
  return out;
}
