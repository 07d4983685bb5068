import fc from 'fast-check';
import { expect, test } from 'vitest';
import { imageTag, parseImageId, parseImageTag, parseWorkspaceId } from '../../../src/archive/index.ts';

test.for(['a', '_', 'team.one-two_3', 'A'.repeat(63), '0..', '_.'])('%j is a workspace id', (text) => {
  expect(parseWorkspaceId(text)).toBe(text);
});

test.for(['', '.', '..', '.hidden', '-a', 'a/b', 'a b', 'ü', 'a\n', 'A'.repeat(64), 'a:b'])(
  '%j is no workspace id',
  (text) => {
    expect(() => parseWorkspaceId(text)).toThrow(expect.objectContaining({ code: 'WORKSPACE_ID_INVALID' }));
  },
);

test.for(['a', '.a', '...', '_', 'A'.repeat(64)])('%j is an image id', (text) => {
  expect(parseImageId(text)).toBe(text);
});

test.for(['', '.', '..', 'a-b', 'a/b', 'a\n', 'A'.repeat(65)])('%j is no image id', (text) => {
  expect(() => parseImageId(text)).toThrow(expect.objectContaining({ code: 'IMAGE_ID_INVALID' }));
});

test('a tag splits into the ids it was made of and is one the distribution-spec allows', () => {
  const workspace = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$/).filter((text) => !/^\.\.?$/.test(text));
  const image = fc.stringMatching(/^[A-Za-z0-9_.]{1,64}$/).filter((text) => !/^\.\.?$/.test(text));
  fc.assert(
    fc.property(workspace, image, (workspaceId, imageId) => {
      const tag = imageTag(parseWorkspaceId(workspaceId), parseImageId(imageId));
      expect(tag).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/);
      expect(parseImageTag(tag)).toEqual({ workspaceId, imageId });
    }),
  );
});
