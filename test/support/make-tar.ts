/** One entry of a tar that a test writes by hand, right or wrong. */
export interface TarPart {
  readonly name: string | Buffer;
  /** Type flag; default a file. */
  readonly type?: string;
  readonly data?: string | Buffer;
  /** What the header says of the data; default its length. */
  readonly size?: number;
  readonly link?: string | Buffer;
  readonly mode?: number;
  readonly mtime?: number;
}

/** A ustar archive with the end-of-archive blocks. */
export function makeTar(parts: readonly TarPart[]): Buffer {
  return Buffer.concat([...parts.map(entry), Buffer.alloc(1024)]);
}

function entry({ data = '', link = '', mode = 0o644, mtime = 1_700_000_000, name, size, type = '0' }: TarPart): Buffer {
  const body = Buffer.from(data);
  const header = Buffer.alloc(512);
  Buffer.from(name).copy(header, 0, 0, 100);
  header.write(`${mode.toString(8).padStart(7, '0')}\0`, 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${(size ?? body.length).toString(8).padStart(11, '0')}\0`, 124);
  header.write(`${mtime.toString(8).padStart(11, '0')}\0`, 136);
  header.write(type, 156);
  Buffer.from(link).copy(header, 157, 0, 100);
  header.write('ustar\0' + '00', 257);
  header.write('        ', 148);
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}
