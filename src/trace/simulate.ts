import type { LayerRecord } from '../archive/index.ts';
import { type LayerPlaces, layerPlaces } from './layer-places.ts';
import { ReadAhead } from './read-ahead.ts';
import type { Touch, Trace } from './trace-file.ts';

/** Longest request (the daemon's `REQUEST_BYTES`). */
const REQUEST_BYTES = 4 * 2 ** 20;
/** Chunks of a profile that are asked for together (the daemon's `BATCH`). */
const PROFILE_BATCH = 32;

/** What a fetch costs: time to the first byte and bytes a second after it. */
export interface Link {
  readonly firstByteUs: number;
  readonly bytesPerSecond: number;
}

export interface SimulationOptions {
  readonly link: Link;
  /** Short digests of chunks that are fetched from the start on, in this order. */
  readonly profile?: readonly string[];
  /** So many neighbouring chunks are fetched as one: what chunks of that many times the size would do. Default 1. */
  readonly chunksTogether?: number;
  /** Default true. */
  readonly readAhead?: boolean;
}

export interface Simulation {
  readonly requests: number;
  /** Stored bytes. */
  readonly fetchedBytes: number;
  /** Touches that had to wait. */
  readonly waits: number;
  readonly waitUs: number;
  /** Until the last touch had its bytes. */
  readonly endUs: number;
}

/**
 * Replays the touches of a trace on an empty cache: the same reads in the same order with the same pauses between them.
 * What is fetched because of a read follows the daemon's rules; what is fetched ahead of it is an estimate (`ReadAhead`), and so is
 * how long it takes. Reads inside a chunk that was
 * touched already are not in a trace, so chunks can be simulated larger and not smaller.
 */
export function simulate(trace: Trace, layers: readonly LayerRecord[], options: SimulationOptions): Simulation {
  return new Run(layers, options).play(trace.touches);
}

interface LayerState {
  readonly places: LayerPlaces;
  readonly ahead: ReadAhead;
  readonly digests: Buffer;
  /** When a chunk is there; none: nobody fetched it. */
  readonly readyUs: Map<number, number>;
}

class Run {
  readonly #layers: readonly LayerState[];
  readonly #options: SimulationOptions;
  #nowUs = 0;
  #lineFreeUs = 0;
  #requests = 0;
  #fetchedBytes = 0;

  constructor(layers: readonly LayerRecord[], options: SimulationOptions) {
    this.#options = options;
    this.#layers = layers.map((layer) => {
      const places = layerPlaces(layer);
      const most = Math.floor(REQUEST_BYTES / Math.max(1, layer.chunkBytes));
      return { places, ahead: new ReadAhead(places.chunkCount, most), digests: layer.chunkDigests, readyUs: new Map() };
    });
  }

  play(touches: readonly Touch[]): Simulation {
    this.#fetchProfile();
    let [waits, waitUs, realUs] = [0, 0, 0];
    for (const touch of touches) {
      // Reads of several threads overlap; the pause is what the process itself took.
      this.#nowUs += Math.max(0, touch.atUs - realUs);
      realUs = Math.max(realUs, touch.atUs + touch.waitUs);
      const waited = this.#read(touch);
      if (waited > 0) waits += 1;
      waitUs += waited;
      this.#nowUs += waited;
    }
    return {
      requests: this.#requests,
      fetchedBytes: this.#fetchedBytes,
      waits,
      waitUs,
      endUs: Math.round(this.#nowUs),
    };
  }

  /** Gives how long the read waits. */
  #read({ layer, firstChunk, chunkCount }: Touch): number {
    const state = this.#layers[layer];
    if (state === undefined) return 0;
    const end = Math.min(firstChunk + chunkCount, state.places.chunkCount);
    const chunks = Array.from({ length: Math.max(0, end - firstChunk) }, (_, at) => firstChunk + at);
    const missing = chunks.filter((chunk) => !state.readyUs.has(chunk));
    for (const run of runsOf(missing)) this.#fetch(state, run.first, run.end);
    if (this.#options.readAhead !== false) this.#lookAhead(state, firstChunk, end, missing.length > 0);
    const readyUs = Math.max(0, ...chunks.map((chunk) => state.readyUs.get(chunk) ?? 0));
    return Math.max(0, Math.round(readyUs - this.#nowUs));
  }

  #lookAhead(state: LayerState, firstChunk: number, endChunk: number, missed: boolean): void {
    const ahead =
      state.ahead.reached(firstChunk, endChunk) ?? (missed ? state.ahead.missed(firstChunk, endChunk) : undefined);
    if (ahead === undefined || state.places.plan(firstChunk, endChunk).streamed) return;
    const chunks = Array.from({ length: ahead.endChunk - ahead.firstChunk }, (_, at) => ahead.firstChunk + at);
    for (const run of runsOf(chunks.filter((chunk) => !state.readyUs.has(chunk))))
      this.#fetch(state, run.first, run.end);
  }

  #fetchProfile(): void {
    const wanted = new Map(this.#options.profile?.map((digest, order) => [digest, order]));
    if (wanted.size === 0) return;
    const places: { readonly state: LayerState; readonly chunk: number; readonly order: number }[] = [];
    for (const state of this.#layers)
      for (let chunk = 0; chunk < state.places.chunkCount; chunk += 1) {
        const digest = state.digests.subarray(chunk * 32, chunk * 32 + 16).toString('base64url');
        const order = wanted.get(digest);
        if (order === undefined) continue;
        wanted.delete(digest);
        places.push({ state, chunk, order });
      }
    const sorted = places.toSorted((a, b) => a.order - b.order);
    for (let at = 0; at < sorted.length; at += PROFILE_BATCH) {
      const batch = Map.groupBy(sorted.slice(at, at + PROFILE_BATCH), ({ state }) => state);
      for (const [state, of] of batch) {
        const missing = of.map(({ chunk }) => chunk).filter((chunk) => !state.readyUs.has(chunk));
        for (const run of runsOf(missing.toSorted((a, b) => a - b))) this.#fetch(state, run.first, run.end);
      }
    }
  }

  /** One request, or several where one would be too long. What comes along is there, too. */
  #fetch(state: LayerState, first: number, end: number): void {
    const together = this.#options.chunksTogether ?? 1;
    const from = Math.floor(first / together) * together;
    const to = Math.min(Math.ceil(end / together) * together, state.places.chunkCount);
    for (let at = from; at < to; ) {
      let until = Math.min(at + together, to);
      while (until < to && state.places.plan(at, until + 1).storedBytes <= REQUEST_BYTES) until += 1;
      const plan = state.places.plan(at, until);
      const { bytesPerSecond, firstByteUs } = this.#options.link;
      const startUs = Math.max(this.#nowUs, this.#lineFreeUs);
      // Requests overlap, their bytes share the line.
      this.#lineFreeUs = startUs + (plan.storedBytes / bytesPerSecond) * 1e6;
      this.#requests += 1;
      this.#fetchedBytes += plan.storedBytes;
      for (let chunk = plan.firstChunk; chunk < plan.endChunk; chunk += 1)
        if (!state.readyUs.has(chunk)) state.readyUs.set(chunk, this.#lineFreeUs + firstByteUs);
      at = Math.max(until, plan.endChunk);
    }
  }
}

function runsOf(chunks: readonly number[]): readonly { readonly first: number; readonly end: number }[] {
  const runs: { first: number; end: number }[] = [];
  for (const chunk of chunks) {
    const last = runs.at(-1);
    if (last?.end === chunk) last.end += 1;
    else runs.push({ first: chunk, end: chunk + 1 });
  }
  return runs;
}

/** What the waits of a trace say of the link: the quickest fetches are nearly all first byte, the rest is bandwidth. */
export function measuredLink(trace: Trace, layers: readonly LayerRecord[]): Link {
  const places = layers.map(layerPlaces);
  const fetches = trace.touches
    .filter(({ tier, waitUs }) => tier === 'missing' && waitUs > 0)
    .map(({ chunkCount, firstChunk, layer, waitUs }) => ({
      waitUs,
      bytes: places[layer]?.plan(firstChunk, firstChunk + chunkCount).storedBytes ?? 0,
    }))
    .toSorted((a, b) => a.waitUs - b.waitUs);
  const firstByteUs = (fetches[Math.floor(fetches.length / 10)]?.waitUs ?? 1000) * 0.8;
  const bytes = fetches.reduce((sum, fetch) => sum + fetch.bytes, 0);
  const bodyUs = fetches.reduce((sum, fetch) => sum + Math.max(0, fetch.waitUs - firstByteUs), 0);
  const bytesPerSecond = bytes > 0 && bodyUs > 0 ? Math.max(1e5, bytes / (bodyUs / 1e6)) : 1e8;
  return { firstByteUs: Math.round(firstByteUs), bytesPerSecond: Math.round(bytesPerSecond) };
}
