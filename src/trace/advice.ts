import type { Advice, Explanation } from './explanation.ts';
import type { FileMap } from './file-map.ts';

type Facts = Omit<Explanation, 'advice'>;

/** Fewer touches than this say nothing of how an image is laid out. */
const FEW_TOUCHES = 20;
const MANY_LAYERS = 5;
const MANY_SOURCES = 20;
/** Chunks touched in a layer that is hardly used: fetched for one or two files each. */
const SCATTERED_SHARE = 0.05;

/** Advice on image and Dockerfile; each rule speaks only where the trace gives it a reason. */
export function adviceFor(facts: Facts, files: FileMap | undefined): readonly Advice[] {
  return [
    ...notLazy(facts),
    ...profile(facts),
    ...chunkSize(facts),
    ...manyLayers(facts),
    ...scattered(facts),
    ...(files === undefined ? [] : pythonSources(facts, files)),
  ];
}

function notLazy({ layers }: Facts): readonly Advice[] {
  return layers
    .filter(({ mode, reason, touches }) => touches > 0 && mode === 'whole' && reason !== undefined)
    .map(({ digest, reason = '', waitUs }) => ({
      rule: 'layer-not-lazy' as const,
      text: `layer ${short(digest)} cost ${ms(waitUs)}: ${reason}. Build it again (\`clipyard build\` packs new layers in frames), or index the image with seek points (\`clipyard index\`).`,
    }));
}

function profile({ touches, waitUs, whatIf }: Facts): readonly Advice[] {
  const [cold, with_] = ['cold', 'with this profile'].map((name) => whatIf.find((of) => of.name === name)?.simulation);
  if (cold === undefined || with_ === undefined || touches < FEW_TOUCHES || with_.waitUs > cold.waitUs * 0.7) return [];
  return [
    {
      rule: 'profile',
      text: `of ${ms(waitUs)} waited, a start with this profile would wait about ${ms(with_.waitUs)} (simulated; a cold start without: ${ms(cold.waitUs)}): publish it with \`clipyard profile publish\` and mount with \`--profile auto\`.`,
    },
  ];
}

function chunkSize({ touches, whatIf }: Facts): readonly Advice[] {
  const cold = whatIf.find(({ name }) => name === 'cold')?.simulation;
  const larger = whatIf
    .filter(({ name }) => name.startsWith('chunks of'))
    .toSorted((a, b) => a.simulation.waitUs - b.simulation.waitUs)[0];
  if (cold === undefined || larger === undefined || touches < FEW_TOUCHES) return [];
  if (larger.simulation.waitUs > cold.waitUs * 0.7) return [];
  return [
    {
      rule: 'chunk-size',
      text: `this start reads neighbours: ${larger.name} would wait ${ms(larger.simulation.waitUs)} instead of ${ms(cold.waitUs)} (simulated), for ${larger.simulation.fetchedBytes} instead of ${cold.fetchedBytes} bytes.`,
    },
  ];
}

function manyLayers({ layers, touches }: Facts): readonly Advice[] {
  const used = layers.filter((layer) => layer.touches > 0);
  if (used.length < MANY_LAYERS || touches < FEW_TOUCHES) return [];
  return [
    {
      rule: 'many-layers',
      text: `one start reads from ${used.length} of ${layers.length} layers: files that start together and are installed by several RUN or COPY steps cannot share a request. Joining those steps, or copying the finished tree in one COPY --from, lets them.`,
    },
  ];
}

function scattered({ layers, touches }: Facts): readonly Advice[] {
  if (touches < FEW_TOUCHES) return [];
  return layers
    .filter(
      ({ chunks, touchedChunks, touches: of }) =>
        of >= FEW_TOUCHES && chunks >= 100 && touchedChunks / chunks < SCATTERED_SHARE,
    )
    .map(({ chunks, digest, touchedChunks }) => ({
      rule: 'scattered' as const,
      text: `of layer ${short(digest)} the start touches ${touchedChunks} of ${chunks} chunks, far apart: what starts and what is rarely used (caches, docs, tests, headers) lie mixed. Removing the latter in the step that makes them, or installing them in a step of their own, brings the rest together.`,
    }));
}

/** Python compiles a module whose bytecode is not there, at every start of a read-only image. */
function pythonSources({ files }: Facts, image: FileMap): readonly Advice[] {
  const sources = files.map(({ path }) => path).filter((path) => path.endsWith('.py'));
  const cacheOf = (path: string) => {
    const slash = path.lastIndexOf('/');
    const name = path.slice(slash + 1, -'.py'.length);
    return ['10', '11', '12', '13', '14', '15', '8', '9'].map(
      (minor) => `${path.slice(0, slash)}/__pycache__/${name}.cpython-3${minor}.pyc`,
    );
  };
  const without = sources.filter((path) => !cacheOf(path).some((cached) => image.has(cached)));
  if (without.length < MANY_SOURCES) return [];
  return [
    {
      rule: 'python-sources',
      text: `${without.length} Python sources were read that have no bytecode in the image (${without[0] ?? ''}, …): \`RUN python3 -m compileall\` in the step that installs them saves reading and compiling them at every start.`,
    },
  ];
}

function short(digest: string): string {
  return digest.slice(0, 19);
}

function ms(us: number): string {
  return `${(us / 1000).toFixed(us < 10_000 ? 1 : 0)} ms`;
}
