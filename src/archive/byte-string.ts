/**
 * Bytes that are usually text (paths, link targets) as a string with one character a byte (latin1). Comparing two
 * gives byte order, and nothing is lost when a name is not UTF-8.
 */
export type ByteString = string & { readonly __brand: 'ByteString' };

export function byteStringOfBytes(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1') as ByteString;
}

/** The bytes of a text in UTF-8. */
export function byteStringOfText(text: string): ByteString {
  return byteStringOfBytes(Buffer.from(text, 'utf8'));
}

export function bytesOf(text: ByteString): Buffer {
  return Buffer.from(text, 'latin1');
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
// Control characters would act on a terminal; a backslash is escaped so that the form stays unambiguous.
const NOT_SHOWN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\\]/gu;

/** A form for people and JSON: UTF-8 as it is, other bytes as `\xNN`, a backslash as `\\`. Distinct for distinct bytes. */
export function displayOf(text: ByteString): string {
  const bytes = bytesOf(text);
  try {
    return utf8
      .decode(bytes)
      .replace(NOT_SHOWN, (character) =>
        character === '\\' ? '\\\\' : [...Buffer.from(character)].map(escapeByte).join(''),
      );
  } catch {
    return [...bytes]
      .map((byte) => (byte >= 0x20 && byte < 0x7f && byte !== BACKSLASH ? String.fromCharCode(byte) : escapeByte(byte)))
      .join('');
  }
}

const BACKSLASH = 0x5c;

function escapeByte(byte: number): string {
  return byte === BACKSLASH ? '\\\\' : `\\x${byte.toString(16).padStart(2, '0')}`;
}
