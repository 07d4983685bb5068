import { expect, test } from 'vitest';
import { packagesApiOf, packagesApiUrl } from '../../../src/cli/packages-api.ts';
import { loadSettings } from '../../../src/config/index.ts';

const GITHUB = 'https://api.github.com';
const OWN = 'https://git.example/api/v3';

test.for<[registry: string, flag: string | undefined, variable: string | undefined, api: string | undefined]>([
  ['ghcr.io', undefined, undefined, GITHUB],
  ['registry.example', undefined, undefined, undefined],
  ['registry.example', OWN, undefined, OWN],
  ['registry.example', undefined, OWN, OWN],
  ['registry.example', GITHUB, OWN, GITHUB],
  ['containers.git.example', undefined, `containers.git.example=${OWN}`, OWN],
  ['127.0.0.1:5000', `127.0.0.1:5000=${OWN}?a=b`, undefined, `${OWN}?a=b`],
  // Another registry's: it deletes itself, and sees no token.
  ['registry.example', undefined, `containers.git.example=${OWN}`, undefined],
  ['ghcr.io', undefined, `containers.git.example=${OWN}`, GITHUB],
])('R002-9: %s, with %s and CLIPYARD_PACKAGES_API %s, is cleaned through %s', ([registry, flag, variable, api]) => {
  const settings = loadSettings({ CLIPYARD_PACKAGES_API: variable });
  expect(packagesApiUrl(registry, flag, { settings })).toBe(api);
  if (api === undefined) expect(packagesApiOf(registry, flag, { settings, env: {} })).toBeUndefined();
  else expect(() => packagesApiOf(registry, flag, { settings, env: {} })).toThrow('GITHUB_TOKEN is not set');
});
