import { expect } from 'vitest';
import { byNative, byPortable, type EngineOutcome, type StackFiles } from './engines.ts';

/** Runs both engines; they must make the same parts or refuse the image by the same code. What came out of it. */
export async function requireAgreement(files: StackFiles): Promise<string> {
  const [native, portable] = [await byNative(files), await byPortable(files)];
  const said = JSON.stringify([native, portable].map((outcome) => ('code' in outcome ? outcome : 'an archive')));
  expect(codeOf(portable), said).toBe(codeOf(native));
  if ('code' in native || 'code' in portable) return codeOf(native);
  expect(portable.layers.equals(native.layers), 'section layers').toBe(true);
  expect(portable.config.equals(native.config), 'section config').toBe(true);
  expect(portable.clip.equals(native.clip), 'the CLIP part').toBe(true);
  expect(portable.warnings).toEqual(native.warnings);
  expect(portable.entries).toBe(native.entries);
  return codeOf(native);
}

function codeOf(outcome: EngineOutcome): string {
  return 'code' in outcome ? outcome.code : 'archive';
}
