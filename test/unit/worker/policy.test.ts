import { describe, expect, test } from 'vitest';
import { parseWorkspaceId } from '../../../src/archive/index.ts';
import { type Digest, digestOf } from '../../../src/digest/index.ts';
import { DEFAULT_POLICY, parsePolicy } from '../../../src/worker/index.ts';
import { gitAddress, gitRef } from '../../../src/worker/intake/git-address.ts';
import { cacheOf } from '../../../src/worker/policy/caches.ts';
import { askedFrontend, frontendOf } from '../../../src/worker/policy/frontend.ts';
import { networkOf } from '../../../src/worker/policy/network.ts';
import { matchesAny } from '../../../src/worker/policy/pattern.ts';
import { repositoryOf } from '../../../src/worker/policy/repositories.ts';
import { requireSource, sourceRules } from '../../../src/worker/policy/sources.ts';
import { agentsOf } from '../../../src/worker/secrets/ssh-agents.ts';

const code = (wanted: string) => expect.objectContaining({ code: wanted }) as Error;
const DIGEST: Digest = digestOf('frontend');

describe('frontends', () => {
  test.for<[dockerfile: string, args: Readonly<Record<string, string>>, asked: string | undefined]>([
    ['FROM scratch\n', {}, undefined],
    ['# syntax=docker/dockerfile:1\nFROM scratch\n', {}, 'docker/dockerfile:1'],
    ['#syntax = docker/dockerfile:1 extra\nFROM scratch', {}, 'docker/dockerfile:1'],
    ['\ufeff# SYNTAX=evil\r\nFROM scratch\r\n', {}, 'evil'],
    ['#!/usr/bin/env build\n# syntax=evil\nFROM scratch', {}, 'evil'],
    ['# escape=`\n# syntax=evil\nFROM scratch', {}, 'evil'],
    ['// syntax=evil\n', {}, 'evil'],
    ['{"syntax": "evil"}', {}, 'evil'],
    ['# a comment\n# syntax=late\nFROM scratch', {}, undefined],
    ['FROM scratch\n# syntax=late', {}, undefined],
    ['FROM scratch', { BUILDKIT_SYNTAX: 'evil cmd' }, 'evil'],
  ])('%j asks for one', ([dockerfile, args, asked]) => {
    expect(askedFrontend(dockerfile, args)).toBe(asked);
  });

  test('one is allowed by its digest alone, written or pinned', () => {
    const policy = parsePolicy({ frontends: [DIGEST] });
    expect(frontendOf(undefined, {}, policy)).toBe('own');
    expect(frontendOf(`docker/dockerfile:1@${DIGEST}`, {}, policy)).toEqual({ image: `docker/dockerfile:1@${DIGEST}` });
    const pinned = { 'docker.io/docker/dockerfile:1': DIGEST };
    expect(frontendOf('docker/dockerfile:1', pinned, policy)).toEqual({ image: `docker/dockerfile:1@${DIGEST}` });
    for (const asked of ['docker/dockerfile:1', `docker/dockerfile@${digestOf('other')}`])
      expect(() => frontendOf(asked, {}, policy)).toThrow(code('FRONTEND_DENIED'));
    expect(() => frontendOf(`x@${DIGEST}`, {}, DEFAULT_POLICY)).toThrow(code('FRONTEND_DENIED'));
  });
});

describe('sources', () => {
  const policy = parsePolicy({ sources: { allow: ['docker-image://docker.io/library/*'], deny: ['*:latest'] } });

  test('denied goes before allowed', () => {
    requireSource('docker-image://docker.io/library/debian:12', policy);
    for (const source of [
      'docker-image://docker.io/library/debian:latest',
      'docker-image://evil.example/x:1',
      'https://x',
    ])
      expect(() => {
        requireSource(source, policy);
      }).toThrow(code('SOURCE_DENIED'));
  });

  test('BuildKit is told the same, pins first, the own context always, and no other workspace', () => {
    const pinned = { 'docker.io/library/debian:12': DIGEST };
    const target = { registry: 'r.example:5000', repository: 'all/images' };
    const rules = sourceRules({ pinned, target, workspaceId: parseWorkspaceId('a.b') }, policy);
    expect(rules).toEqual([
      {
        action: 'convert',
        source: 'docker-image://docker.io/library/debian:12',
        to: `docker-image://docker.io/library/debian:12@${DIGEST}`,
      },
      { action: 'deny', sources: '*' },
      { action: 'allow', sources: 'local://*' },
      { action: 'allow', sources: 'docker-image://docker.io/library/*' },
      { action: 'deny', sources: { pattern: '^docker-image://r\\.example:5000/all/images([:@]|$)' } },
      {
        action: 'allow',
        sources: {
          pattern: '^docker-image://r\\.example:5000/all/images:a\\.b-[A-Za-z0-9_.]{1,64}(@sha256:[0-9a-f]{64})?$',
        },
      },
      { action: 'deny', sources: '*:latest' },
    ]);
  });

  test.for<[pattern: string, text: string, matches: boolean]>([
    ['*', '', true],
    ['a*c', 'abc', true],
    ['a*c', 'ac', true],
    ['ab*bc', 'abc', false],
    ['a*b*c', 'axbxc', true],
    ['a*b*c', 'axc', false],
    ['abc', 'abcd', false],
    ['a.c', 'abc', false],
  ])('pattern %s and %s: %s', ([pattern, text, matches]) => {
    expect(matchesAny([pattern], text)).toBe(matches);
  });
});

test('a workspace pushes to the worker repository and to those it was given', () => {
  const target = { registry: 'r.example', repository: 'images' };
  const policy = parsePolicy({ repositories: { team: ['r.example/team/*'], '*': ['open.example/all'] } });
  const at = (asked: string | undefined, workspaceId: string) => repositoryOf(asked, { target, workspaceId }, policy);
  expect(at(undefined, 'other')).toEqual(target);
  expect(at('r.example/team/x', 'team')).toEqual({ registry: 'r.example', repository: 'team/x' });
  expect(at('open.example/all', 'other')).toEqual({ registry: 'open.example', repository: 'all' });
  for (const asked of ['r.example/team/x', 'r.example/imagesx', 'x.example/all'])
    expect(() => at(asked, 'other')).toThrow(code('SOURCE_DENIED'));
});

test('networks, agents and caches are the policy’s to give', () => {
  expect(networkOf('none', DEFAULT_POLICY)).toBe('none');
  expect(() => networkOf('host', DEFAULT_POLICY)).toThrow(code('SOURCE_DENIED'));
  expect(networkOf('default', parsePolicy({ network: 'none' }))).toBe('none');
  const policy = parsePolicy({
    ssh: { default: { socket: '/run/agent', workspaces: ['team'] } },
    repositories: { team: ['r.example/cache'] },
  });
  expect(agentsOf(['default'], 'team', policy)).toEqual({ default: '/run/agent' });
  for (const id of ['default', '__proto__', 'constructor'])
    expect(() => agentsOf([id], 'other', policy)).toThrow(code('SOURCE_DENIED'));
  expect(cacheOf('type=registry,ref=r.example/cache:x,mode=max', 'team', policy).attrs).toMatchObject({ mode: 'max' });
  expect(() => cacheOf('r.example/cache:x', 'other', policy)).toThrow(code('SOURCE_DENIED'));
  for (const text of ['type=local,dest=/etc', 'type=s3,bucket=x', 'type=registry'])
    expect(() => cacheOf(text, 'team', policy)).toThrow(code('SPEC_INVALID'));
});

test('a policy names the field that is wrong', () => {
  expect(() => parsePolicy({ networks: ['moon'] })).toThrow(/networks/);
  expect(() => parsePolicy({ frontend: [] })).toThrow(code('CONFIG_INVALID'));
});

describe('git', () => {
  const policy = parsePolicy({ git: { allow: ['https://git.example/*', 'ssh://git.example/*'] } });

  test.for(['https://git.example/a.git', 'ssh://git@git.example/a.git'])('%s may be read', (text) => {
    expect(gitAddress(text, policy).href).toBe(text);
  });

  test.for<[address: string, wanted: string]>([
    ['https://user:password@git.example/a', 'GIT_FAILED'],
    ['https://token@git.example/a', 'GIT_FAILED'],
    ['file:///etc', 'SOURCE_DENIED'],
    ['ext::sh -c id', 'GIT_FAILED'],
    ['ext::id', 'SOURCE_DENIED'],
    ['http://git.example/a', 'SOURCE_DENIED'],
    ['https://other.example/a', 'SOURCE_DENIED'],
    ['--upload-pack=id', 'GIT_FAILED'],
    ['git@git.example:a', 'GIT_FAILED'],
    ['ssh://-oProxyCommand=id/a', 'GIT_FAILED'],
  ])('%s may not', ([address, wanted]) => {
    const thrown = (() => {
      try {
        return gitAddress(address, policy);
      } catch (each) {
        return each as Error;
      }
    })();
    expect(thrown).toMatchObject({ code: expect.stringMatching(/GIT_FAILED|SOURCE_DENIED/) as string });
    if (!address.includes('-o')) expect(thrown).toMatchObject({ code: wanted });
    expect(String(thrown)).not.toMatch(/password|token@/);
  });

  test.for(['-x', '--upload-pack=id', 'a..b', 'a b', 'a~1', 'a^', 'a:b', 'a*', 'a@{1}', '/a', 'a/', 'a.lock', ''])(
    'ref %j is none',
    (ref) => {
      expect(() => gitRef(ref)).toThrow(code('GIT_FAILED'));
    },
  );
  test.for(['main', 'v1.2.3', 'refs/heads/x', 'feature/é', 'a@b', '0'.repeat(40)])('ref %s is one', (ref) => {
    expect(gitRef(ref)).toBe(ref);
  });
});
