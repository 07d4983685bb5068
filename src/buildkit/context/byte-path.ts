/**
 * A path below a context root, `/`-separated, relative and clean, one character for each byte (latin1). File names are
 * bytes, not text; kept this way they compare in byte order, survive being no UTF-8, and join like any string.
 */
export type BytePath = string;

const ASCII = /^[\0-\x7f]*$/;

export function bytesOfPath(path: BytePath): Buffer {
  return Buffer.from(path, 'latin1');
}

export function pathOfBytes(bytes: Uint8Array): BytePath {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** The path that a text (a pattern, an argument) names. */
export function pathOfText(text: string): BytePath {
  return ASCII.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/**
 * The path as text, to match patterns on. Where the bytes are no UTF-8, each byte above 0x7f becomes the lone surrogate
 * U+DC00 + byte, so that two different paths never give the same text.
 */
export function textOfPath(path: BytePath): string {
  if (ASCII.test(path)) return path;
  const bytes = bytesOfPath(path);
  const text = bytes.toString('utf8');
  if (Buffer.from(text, 'utf8').equals(bytes)) return text;
  return path.replace(/[\x80-\xff]/g, (byte) => String.fromCharCode(0xdc00 + byte.charCodeAt(0)));
}

/** Parent and name joined; the root is the empty path. */
export function childPath(parent: BytePath, name: BytePath): BytePath {
  return parent === '' ? name : `${parent}/${name}`;
}
