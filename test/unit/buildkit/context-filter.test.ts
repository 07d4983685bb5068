import { linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { textOfPath } from '../../../src/buildkit/context/byte-path.ts';
import { LocalTree } from '../../../src/buildkit/context/local-tree.ts';
import { type ParentMatches, PatternMatcher } from '../../../src/buildkit/context/pattern-matcher.ts';
import { filterOf } from '../../../src/buildkit/context/sync-request.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

/** What the Go originals answer to the same questions; see `madeWith` in the file. */
const golden = z
  .object({
    paths: z.array(z.string()),
    matches: z.array(
      z.object({
        patterns: z.array(z.string()),
        matched: z.array(z.string()).optional(),
        error: z.string().optional(),
      }),
    ),
    tree: z.object({
      files: z.record(z.string(), z.string().nullable()),
      symlinks: z.record(z.string(), z.string()),
      hardlinks: z.record(z.string(), z.string()),
    }),
    walks: z.array(
      z.object({
        exclude: z.array(z.string()),
        follow: z.array(z.string()).optional(),
        entries: z.array(z.string()),
      }),
    ),
  })
  .parse(JSON.parse(readFileSync(join(import.meta.dirname, '../../golden/buildkit/context-filter.json'), 'utf8')));

describe('patterns', () => {
  const rules = golden.matches.flatMap(({ matched, patterns }) =>
    matched === undefined ? [] : [{ patterns, matched }],
  );
  const broken = golden.matches.flatMap(({ error, patterns }) => (error === undefined ? [] : [{ patterns }]));

  test.for(rules)('$patterns match what patternmatcher matches', ({ matched, patterns }) => {
    const matcher = new PatternMatcher(patterns);
    expect(golden.paths.filter((path) => matchesFromRoot(matcher, path))).toEqual(matched);
  });

  test.for(broken)('$patterns are refused', ({ patterns }) => {
    expect(() => new PatternMatcher(patterns)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });
});

describe('a filtered tree', () => {
  let directory: TemporaryDirectory;
  beforeAll(async () => {
    directory = await temporaryDirectory('tree');
    plantTree(directory.path);
  });
  afterAll(async () => {
    await directory[Symbol.asyncDispose]();
  });

  test.for(golden.walks)(
    'without $exclude, following $follow, holds what fsutil sends',
    ({ entries, exclude, follow }) => {
      const tree = new LocalTree(directory.path);
      const filter = filterOf({ name: 'context', include: [], exclude, follow }, tree);
      const sent = [...tree.entries(filter)].map(({ linkName, path }) =>
        linkName === undefined ? textOfPath(path) : `${textOfPath(path)} -> ${textOfPath(linkName)}`,
      );
      expect(sent).toEqual(entries);
    },
  );
});

/** A walk hands the matches of each directory down to what lies in it. */
function matchesFromRoot(matcher: PatternMatcher, path: string): boolean {
  const segments = path.split('/');
  let inherited: ParentMatches | undefined;
  let matched = false;
  for (const at of segments.keys()) {
    ({ inherited, matched } = matcher.match(segments.slice(0, at + 1).join('/'), inherited));
  }
  return matched;
}

function plantTree(root: string): void {
  const { files, hardlinks, symlinks } = golden.tree;
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, content === null ? path : dirname(path)), { recursive: true });
    if (content !== null) writeFileSync(join(root, path), content);
  }
  for (const [path, target] of Object.entries(symlinks)) symlinkSync(target, join(root, path));
  for (const [path, target] of Object.entries(hardlinks)) linkSync(join(root, target), join(root, path));
}
