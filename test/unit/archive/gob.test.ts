import fc from 'fast-check';
import { expect, describe as group, test } from 'vitest';
import {
  decodeGob,
  gobInt,
  gobLatin1,
  gobMap,
  gobOptional,
  gobSlice,
  gobStruct,
  gobText,
  gobUint,
  gobUint32,
  gobUint64,
} from '../../../src/archive/gob/index.ts';
import { WorkerError } from '../../../src/errors/index.ts';
import {
  defineMap,
  defineSlice,
  defineStruct,
  INT,
  int,
  list,
  message,
  STRING,
  struct,
  text,
  UINT,
  uint,
} from './gob-stream.ts';

const corrupt: unknown = expect.objectContaining({ code: 'ARCHIVE_CORRUPT' });
const zero = Buffer.from([0]);
const shape = gobStruct({ a: ['A', gobUint], s: ['S', gobText], list: ['L', gobSlice(gobInt)] });

group('gob values', () => {
  test('unsigned numbers of all 64 bits come back', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 64n - 1n), (value) => {
        expect(decodeGob(message(int(UINT), zero, uint(value)), gobUint64)).toBe(value);
      }),
    );
  });

  test('signed numbers up to the safe ones come back and larger ones are refused', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        expect(decodeGob(message(int(INT), zero, int(value)), gobInt)).toBe(value);
      }),
    );
    expect(() => decodeGob(message(int(INT), zero, int(2n ** 53n)), gobInt)).toThrow(corrupt);
    expect(() => decodeGob(message(int(UINT), zero, uint(2n ** 53n)), gobUint)).toThrow(corrupt);
    expect(() => decodeGob(message(int(UINT), zero, uint(2n ** 32n)), gobUint32)).toThrow(corrupt);
  });

  test('strings keep every byte', () => {
    const bytes = Buffer.from([0, 0xff, 0x80, 0x41]);
    expect(decodeGob(message(int(STRING), zero, text(bytes)), gobLatin1)).toBe('\0\u00ff\u0080A');
  });

  test('fields are found by name wherever the stream has them, unknown ones are passed over, missing ones are zero', () => {
    const stream = Buffer.concat([
      defineSlice(70, INT),
      defineMap(71, STRING, 70),
      defineStruct(65, { Extra: 71, S: STRING, More: 65, A: UINT }),
      message(
        int(65),
        struct([
          list([Buffer.concat([text('k'), list([int(1), int(-2)])])]),
          text('text'),
          struct([undefined, text('inner')]),
          uint(7),
        ]),
      ),
    ]);
    expect(decodeGob(stream, shape)).toEqual({ a: 7, s: 'text', list: [] });
  });

  test('maps and pointers', () => {
    const stream = Buffer.concat([
      defineStruct(65, { A: UINT }),
      defineMap(66, STRING, 65),
      message(
        int(66),
        zero,
        list([Buffer.concat([text('x'), struct([uint(1)])]), Buffer.concat([text('y'), struct([])])]),
      ),
    ]);
    expect(decodeGob(stream, gobMap(gobStruct({ a: ['A', gobUint] })))).toEqual(
      new Map([
        ['x', { a: 1 }],
        ['y', { a: 0 }],
      ]),
    );
    const absent = Buffer.concat([defineStruct(65, { A: UINT }), message(int(65), struct([]))]);
    expect(decodeGob(absent, gobStruct({ p: ['P', gobOptional(gobStruct({}))] }))).toEqual({ p: undefined });
  });

  test('bytes behind the value are ignored', () => {
    expect(decodeGob(Buffer.concat([message(int(UINT), zero, uint(5)), Buffer.from('slack')]), gobUint)).toBe(5);
  });
});

group('hostile gob streams', () => {
  const deep = (levels: number): Buffer =>
    Buffer.concat([
      defineStruct(65, { Unknown: 65 }),
      message(int(65), Buffer.concat([Buffer.alloc(levels, 1), Buffer.alloc(levels + 1)])),
    ]);

  test.for<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['a type that is not defined', message(int(65), zero)],
    ['a type defined twice', Buffer.concat([defineStruct(65, {}), defineStruct(65, {}), message(int(65), zero)])],
    ['a built-in type defined', Buffer.concat([defineStruct(16, {}), message(int(16), zero)])],
    ['a definition of nothing', Buffer.concat([message(int(-65), zero), message(int(65), zero)])],
    ['a value of another kind', message(int(UINT), zero, uint(1))],
    [
      'a field of another kind',
      Buffer.concat([defineStruct(65, { A: STRING }), message(int(65), struct([text('1')]))]),
    ],
    [
      'a field number beyond the struct',
      Buffer.concat([defineStruct(65, { A: UINT }), message(int(65), struct([undefined, uint(1)]))]),
    ],
    [
      'a list longer than its bytes',
      Buffer.concat([
        defineSlice(66, INT),
        defineStruct(65, { L: 66 }),
        message(int(65), Buffer.from([1]), uint(2 ** 40), zero),
      ]),
    ],
    [
      'a string longer than its bytes',
      Buffer.concat([defineStruct(65, { S: STRING }), message(int(65), Buffer.from([1]), uint(2 ** 40), zero)]),
    ],
    [
      'a number of nine bytes',
      Buffer.concat([
        defineStruct(65, { A: UINT }),
        message(int(65), Buffer.from([1, 0xf7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0])),
      ]),
    ],
    ['bytes left in a message', Buffer.concat([defineStruct(65, {}), message(int(65), zero, zero)])],
    ['values nested without end', deep(200)],
  ])('%s is ARCHIVE_CORRUPT', ([, stream]) => {
    expect(() => decodeGob(stream, shape)).toThrow(corrupt);
  });

  test('a fair depth of unknown values is passed', () => {
    expect(decodeGob(deep(20), shape)).toEqual({ a: 0, s: '', list: [] });
  });

  test('a field named like a property of objects does no harm', () => {
    const stream = Buffer.concat([
      defineStruct(65, { ['__proto__x']: STRING, constructor: STRING, A: UINT }),
      message(int(65), struct([text('x'), text('y'), uint(3)])),
    ]);
    expect(decodeGob(stream, shape)).toEqual({ a: 3, s: '', list: [] });
  });

  test('random bytes end with ARCHIVE_CORRUPT or a value, never otherwise', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeGob(Buffer.from(bytes), shape);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(WorkerError);
        }
      }),
      { numRuns: 5000 },
    );
  });
});
