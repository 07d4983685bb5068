import { WorkerError } from '../errors/index.ts';

/** Who an image belongs to; part of tags and store keys. */
export type WorkspaceId = string & { readonly __brand: 'WorkspaceId' };
/** Which image of a workspace. It holds no `-`, so that the last `-` of a tag splits it. */
export type ImageId = string & { readonly __brand: 'ImageId' };

const WORKSPACE_ID = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$/;
const IMAGE_ID = /^[A-Za-z0-9_.]{1,64}$/;
const DOTS = /^\.\.?$/;

/** Throws WORKSPACE_ID_INVALID. */
export function parseWorkspaceId(text: string): WorkspaceId {
  if (!WORKSPACE_ID.test(text) || DOTS.test(text)) {
    throw new WorkerError(
      'WORKSPACE_ID_INVALID',
      `workspace id ${JSON.stringify(text.slice(0, 100))} is not [A-Za-z0-9_][A-Za-z0-9._-]{0,62}`,
    );
  }
  return text as WorkspaceId;
}

/** Throws IMAGE_ID_INVALID. */
export function parseImageId(text: string): ImageId {
  if (!IMAGE_ID.test(text) || DOTS.test(text)) {
    throw new WorkerError(
      'IMAGE_ID_INVALID',
      `image id ${JSON.stringify(text.slice(0, 100))} is not [A-Za-z0-9_.]{1,64} or is "." or ".."`,
    );
  }
  return text as ImageId;
}

/** The tag an image is published under: at most 128 characters, as distribution-spec 1.1 allows. */
export function imageTag(workspaceId: WorkspaceId, imageId: ImageId): string {
  return `${workspaceId}-${imageId}`;
}

/** The ids of a tag that `imageTag` made. Throws WORKSPACE_ID_INVALID or IMAGE_ID_INVALID. */
export function parseImageTag(tag: string): { readonly workspaceId: WorkspaceId; readonly imageId: ImageId } {
  const split = tag.lastIndexOf('-');
  return {
    workspaceId: parseWorkspaceId(tag.slice(0, Math.max(split, 0))),
    imageId: parseImageId(tag.slice(split + 1)),
  };
}
