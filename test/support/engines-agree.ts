import { expect } from 'vitest';
import { type LayerRecord, parseLayersSection } from '../../src/archive/index.ts';
import { byNative, byPortable, type EngineOutcome, type StackFiles } from './engines.ts';

/** Runs both engines; they must make the same parts or refuse the image by the same code. What came out of it. */
export async function requireAgreement(files: StackFiles): Promise<string> {
  const [native, portable] = [await byNative(files), await byPortable(files)];
  const said = JSON.stringify([native, portable].map((outcome) => ('code' in outcome ? outcome : 'an archive')));
  expect(codeOf(portable), said).toBe(codeOf(native));
  if ('code' in native || 'code' in portable) return codeOf(native);
  requireSameLayers(native.layers, portable.layers);
  expect(portable.config.equals(native.config), 'section config').toBe(true);
  expect(portable.clip.equals(native.clip), 'the CLIP part').toBe(true);
  expect(portable.warnings).toEqual(native.warnings);
  expect(portable.entries).toBe(native.entries);
  return codeOf(native);
}

/** The same bytes, or the same records once the spans that seek points cut a member into are joined: only native cuts. */
function requireSameLayers(native: Buffer, portable: Buffer): void {
  const cut = parseLayersSection(native);
  if (cut.every(({ seek }) => seek === undefined)) {
    expect(portable.equals(native), 'section layers').toBe(true);
    return;
  }
  const whole = parseLayersSection(portable);
  expect(cut.length).toBe(whole.length);
  cut.forEach((record, at) => {
    expect({ ...record, seek: undefined, spans: joined(record.spans, whole[at]!.spans) }).toEqual(whole[at]);
  });
}

type Spans = LayerRecord['spans'];

/** `spans` with neighbours joined up to the plain ends of `whole`. */
function joined(spans: Spans, whole: Spans): Spans {
  let next = 0;
  return whole.map(({ plainBytes: end }) => {
    let [storedBytes, plainBytes] = [0, 0];
    for (; plainBytes < end && next < spans.length; next += 1) {
      storedBytes += spans[next]!.storedBytes;
      plainBytes += spans[next]!.plainBytes;
    }
    return { storedBytes, plainBytes };
  });
}

function codeOf(outcome: EngineOutcome): string {
  return 'code' in outcome ? outcome.code : 'archive';
}
