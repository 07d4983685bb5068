import { fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { DESCRIPTORS } from '../../gen/descriptors.ts';

/** Files of a descriptor set, by name and by what they declare. */
export interface DescriptorIndex {
  readonly services: readonly string[];
  /** The encoded file and all it imports, itself first; undefined when there is none of this name. */
  byName(name: string): readonly Buffer[] | undefined;
  /** Of a service, method, message, field, oneof, enum or enum value by its full name. */
  bySymbol(symbol: string): readonly Buffer[] | undefined;
}

/** The descriptors of our own services (scripts/gen-proto.ts). */
export function ownDescriptors(): DescriptorIndex {
  return indexDescriptors(Buffer.from(DESCRIPTORS, 'base64'));
}

/** Indexes an encoded google.protobuf.FileDescriptorSet. */
export function indexDescriptors(encoded: Uint8Array): DescriptorIndex {
  const files = new Map(fromBinary(FileDescriptorSetSchema, encoded).file.map((file) => [file.name, file]));
  const bytes = new Map(
    [...files].map(([name, file]) => [name, Buffer.from(toBinary(FileDescriptorProtoSchema, file))]),
  );
  const symbols = new Map([...files.values()].flatMap((file) => symbolsOf(file).map((symbol) => [symbol, file.name])));
  const byName = (name: string) => {
    if (!files.has(name)) return undefined;
    return withImports(name, files).flatMap((each) => bytes.get(each) ?? []);
  };
  return {
    services: [...files.values()].flatMap((file) => file.service.map(({ name }) => `${file.package}.${name}`)).sort(),
    byName,
    bySymbol: (symbol) => {
      const name = symbols.get(symbol);
      return name === undefined ? undefined : byName(name);
    },
  };
}

/** Breadth first, each once. */
function withImports(name: string, files: ReadonlyMap<string, FileDescriptorProto>): readonly string[] {
  const found = new Set([name]);
  for (const each of found) for (const dependency of files.get(each)?.dependency ?? []) found.add(dependency);
  return [...found];
}

function symbolsOf(file: FileDescriptorProto): readonly string[] {
  const scope = file.package;
  return [
    ...file.service.flatMap(({ method, name }) => [
      `${scope}.${name}`,
      ...method.map((each) => `${scope}.${name}.${each.name}`),
    ]),
    ...file.messageType.flatMap((message) => symbolsOfMessage(message, scope)),
    ...file.enumType.flatMap((each) => symbolsOfEnum(each, scope)),
    ...file.extension.map(({ name }) => `${scope}.${name}`),
  ];
}

function symbolsOfMessage(message: DescriptorProto, scope: string): readonly string[] {
  const inner = `${scope}.${message.name}`;
  return [
    inner,
    ...[...message.field, ...message.oneofDecl, ...message.extension].map(({ name }) => `${inner}.${name}`),
    ...message.nestedType.flatMap((each) => symbolsOfMessage(each, inner)),
    ...message.enumType.flatMap((each) => symbolsOfEnum(each, inner)),
  ];
}

/** The values of an enum stand beside it, as in C++. */
function symbolsOfEnum(each: EnumDescriptorProto, scope: string): readonly string[] {
  return [`${scope}.${each.name}`, ...each.value.map(({ name }) => `${scope}.${name}`)];
}
