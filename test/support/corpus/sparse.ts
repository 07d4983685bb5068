import { type Bytes, bytes, number, padded, type TarEntry, tarEntry } from './tar-entry.ts';

/** A file with holes: what each stretch holds, in order. */
export interface SparseFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly stretches: readonly (readonly [offset: number, data: Buffer])[];
}

type Attributes = Omit<TarEntry, 'name' | 'type' | 'data' | 'records' | 'patch'>;

/** The stored form of all formats but 1.0: the stretches without the holes. */
function packedData({ stretches }: SparseFile): Buffer {
  return Buffer.concat(stretches.map(([, data]) => data));
}

const key = (name: string): string => `GNU.sparse.${name}`;
const placeholder = (name: string): string => `GNUSparseFile.0/${name}`;

/** pax format 0.0: a pair of records for each stretch; the entry has the file's own name. */
export function sparse00(file: SparseFile, attributes: Attributes = {}): Buffer {
  const records: [string, Bytes][] = [
    [key('size'), String(file.sizeBytes)],
    [key('numblocks'), String(file.stretches.length)],
    ...file.stretches.flatMap(([offset, data]): [string, Bytes][] => [
      [key('offset'), String(offset)],
      [key('numbytes'), String(data.length)],
    ]),
  ];
  return tarEntry({ ...attributes, name: file.name, type: '0', data: packedData(file), records });
}

/** pax format 0.1: the map in one record. */
export function sparse01(file: SparseFile, attributes: Attributes = {}): Buffer {
  const records: [string, Bytes][] = [
    [key('name'), file.name],
    [key('size'), String(file.sizeBytes)],
    [key('numblocks'), String(file.stretches.length)],
    [key('map'), file.stretches.map(([offset, data]) => `${offset},${data.length}`).join(',')],
  ];
  return tarEntry({ ...attributes, name: placeholder(file.name), type: '0', data: packedData(file), records });
}

/** pax format 1.0: the map stands before the data, filled up to a block. */
export function sparse10(file: SparseFile, attributes: Attributes = {}): Buffer {
  const records: [string, Bytes][] = [
    [key('major'), '1'],
    [key('minor'), '0'],
    [key('name'), file.name],
    [key('realsize'), String(file.sizeBytes)],
  ];
  const map = [file.stretches.length, ...file.stretches.flatMap(([offset, data]) => [offset, data.length])]
    .map((value) => `${value}\n`)
    .join('');
  return tarEntry({
    ...attributes,
    name: placeholder(file.name),
    type: '0',
    data: Buffer.concat([padded(map), packedData(file)]),
    records,
  });
}

/** GNU tar's own type `S`: four stretches in the header, 21 in each block that follows it. */
export function sparseOldGnu(file: SparseFile, attributes: Attributes = {}): Buffer {
  const data = packedData(file);
  const pairs = file.stretches.map(([offset, stretch]) => [offset, stretch.length] as const);
  const put = (block: Buffer, at: number, [offset, length]: readonly [number, number]): void => {
    number(block, at, 12, BigInt(offset), true);
    number(block, at + 12, 12, BigInt(length), true);
  };
  const patch = (header: Buffer): void => {
    pairs.slice(0, 4).forEach((pair, at) => {
      put(header, 386 + at * 24, pair);
    });
    header[482] = pairs.length > 4 ? 1 : 0;
    number(header, 483, 12, BigInt(file.sizeBytes), true);
    number(header, 124, 12, BigInt(data.length), true);
  };
  const extensions: Buffer[] = [];
  for (let done = 4; done < pairs.length; done += 21) {
    const block = Buffer.alloc(512);
    pairs.slice(done, done + 21).forEach((pair, at) => {
      put(block, at * 24, pair);
    });
    block[504] = done + 21 < pairs.length ? 1 : 0;
    extensions.push(block);
  }
  const head = tarEntry({ ...attributes, name: file.name, type: 'S', format: 'gnu', patch });
  return Buffer.concat([head, ...extensions, padded(bytes(data))]);
}
