import { expect, test } from 'vitest';
import { loadSettings } from '../../../src/config/index.ts';

test('an empty environment gives defaults, frozen', () => {
  const settings = loadSettings({});
  expect(settings).toMatchObject({ workspace: 'default', logLevel: 'info', registry: undefined, store: undefined });
  expect(settings.cacheDir).toBe(`${settings.stateDir}/cache`);
  expect(Object.isFrozen(settings)).toBe(true);
});

test('an empty variable counts as unset', () => {
  expect(loadSettings({ CLIPYARD_LOG: '', CLIPYARD_REGISTRY: '' })).toMatchObject({
    logLevel: 'info',
    registry: undefined,
  });
});

test('options of a mount daemon are words', () => {
  expect(loadSettings({ CLIPYARD_MOUNTD_OPTIONS: '  --no-handover\n--max-requests 4 ' }).mountOptions).toEqual([
    '--no-handover',
    '--max-requests',
    '4',
  ]);
  expect(loadSettings({}).mountOptions).toEqual([]);
});

test('a wrong value is CONFIG_INVALID and names the variable', () => {
  expect(() => loadSettings({ CLIPYARD_LOG: 'loud' })).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining('CLIPYARD_LOG') as string }),
  );
});
