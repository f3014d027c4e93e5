// The bytes that the page sends and the suite expects: block i of 1 MiB is xorshift32 from the seed i + 1.
export const blockBytes = 1 << 20;

export function block(i) {
  const words = new Uint32Array(blockBytes / 4);
  let x = i + 1;
  for (let n = 0; n < words.length; n++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[n] = x;
  }
  return new Uint8Array(words.buffer);
}

export const blocks = (count) => Array.from({ length: count }, (_, i) => block(i));
