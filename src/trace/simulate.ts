import type { LayerRecord } from '../archive/index.ts';
import { AheadBudget } from './ahead-budget.ts';
import { type LayerPlaces, layerPlaces } from './layer-places.ts';
import { chunksAround, KnownLink } from './nearby.ts';
import { ReadAhead } from './read-ahead.ts';
import type { Stretch } from './strides.ts';
import type { Touch, Trace } from './trace-file.ts';

/** Longest request (the daemon's `REQUEST_BYTES`). */
const REQUEST_BYTES = 4 * 2 ** 20;
/** Longest one for a profile (its `PROFILE_REQUEST_BYTES`). */
const PROFILE_REQUEST_BYTES = 2 ** 19;
/** Chunks of a profile that are asked for together (the daemon's `MOST_FLYING`). */
const PROFILE_BATCH = 128;

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
 * What is fetched because of a read and ahead of it follows the daemon's rules; how long it takes is an estimate. Reads inside a
 * chunk that was touched already are not in a trace, so chunks can be simulated larger and not smaller.
 */
export function simulate(trace: Trace, layers: readonly LayerRecord[], options: SimulationOptions): Simulation {
  return new Replay(layers, options).play(trace.touches);
}

/** Chunks one behind the other: the first, and behind the last. */
interface Run {
  first: number;
  end: number;
}

interface LayerState {
  readonly places: LayerPlaces;
  readonly ahead: ReadAhead;
  readonly budget: AheadBudget;
  /** Fetched ahead and not read yet. */
  readonly unread: Set<number>;
  readonly digests: Buffer;
  /** When a chunk is there; none: nobody fetched it. */
  readonly readyUs: Map<number, number>;
}

class Replay {
  readonly #layers: readonly LayerState[];
  readonly #options: SimulationOptions;
  readonly #link: KnownLink;
  #nowUs = 0;
  #lineFreeUs = 0;
  #requests = 0;
  #fetchedBytes = 0;

  constructor(layers: readonly LayerRecord[], options: SimulationOptions) {
    this.#options = options;
    this.#link = new KnownLink(options.link);
    this.#layers = layers.map((layer) => {
      const places = layerPlaces(layer);
      return {
        places,
        ahead: new ReadAhead(),
        budget: new AheadBudget(),
        unread: new Set(),
        digests: layer.chunkDigests,
        readyUs: new Map(),
      };
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
  #read({ chunkCount, firstChunk, layer, length, offset }: Touch): number {
    const state = this.#layers[layer];
    if (state === undefined) return 0;
    const { budget, places, readyUs, unread } = state;
    const chunks = chunksBetween(firstChunk, Math.min(firstChunk + chunkCount, places.chunkCount));
    const foreseen = chunks.filter((chunk) => unread.delete(chunk));
    for (const chunk of foreseen) budget.used(storedOf(places, chunk));
    const missing = chunks.filter((chunk) => !readyUs.has(chunk));
    const isFirst = foreseen.length > 0 || missing.length > 0;
    for (const chunk of missing) budget.wanted(storedOf(places, chunk));
    const read = { start: offset, end: Math.min(offset + length, places.plainOf(places.chunkCount)) };
    const ahead = this.#options.readAhead === false ? [] : this.#ahead(state, read, missing, isFirst);
    for (const run of requestsFor(missing, ahead)) this.#fetch(state, run.first, run.end);
    const ready = Math.max(0, ...chunks.map((chunk) => readyUs.get(chunk) ?? 0));
    return Math.max(0, Math.round(ready - this.#nowUs));
  }

  /**
   * The chunks of the windows that are worth a request now: while half of a window is there, none is. Over a link with long waits
   * those around the first read of a chunk, too.
   */
  #ahead(state: LayerState, read: Stretch, missing: readonly number[], isFirst: boolean): readonly number[] {
    const { ahead, budget, places, readyUs, unread } = state;
    const first = places.chunkAt(read.start);
    if (places.plan(first, first + 1).streamed) return [];
    const found: number[] = [];
    const isMissing = (chunk: number) => !readyUs.has(chunk) && !missing.includes(chunk) && !found.includes(chunk);
    const waitBytes = isFirst ? this.#link.waitBytes() : 0;
    const takeWhile = (chunks: readonly number[]) => {
      for (const chunk of chunks) {
        if (!budget.take(storedOf(places, chunk), waitBytes)) break;
        found.push(chunk);
        unread.add(chunk);
      }
    };
    for (const window of ahead.read(read, first === 0 ? -1 : places.plainOf(first - 1))) {
      const end = Math.min(window.end, places.plainOf(places.chunkCount));
      if (window.start >= end) continue;
      const within = chunksBetween(places.chunkAt(window.start), places.chunkAt(end - 1) + 1).filter(isMissing);
      const [next] = within;
      if (next === undefined || places.plainOf(next) > window.start + (end - window.start) / 2) continue;
      takeWhile(within);
    }
    if (waitBytes > 0)
      takeWhile(
        chunksAround({
          read: [first, places.chunkAt(read.end - 1) + 1],
          chunkCount: places.chunkCount,
          waitBytes,
          storedOf: (chunk) => storedOf(places, chunk),
          isMissing,
        }),
      );
    return found;
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
      const runs = [...batch].flatMap(([state, of]) => {
        const orders = new Map(of.map(({ chunk, order }) => [chunk, order]));
        const missing = [...orders.keys()].filter((chunk) => !state.readyUs.has(chunk));
        return runsOf(missing.toSorted((a, b) => a - b)).map((run) => {
          const wantedAt = chunksBetween(run.first, run.end).map((chunk) => orders.get(chunk) ?? 0);
          return { state, run, order: Math.min(...wantedAt) };
        });
      });
      for (const { run, state } of runs.toSorted((a, b) => a.order - b.order))
        this.#fetch(state, run.first, run.end, PROFILE_REQUEST_BYTES);
    }
  }

  /** One request, or several where one would be too long. What comes along is there, too. */
  #fetch(state: LayerState, first: number, end: number, mostBytes = REQUEST_BYTES): void {
    const together = this.#options.chunksTogether ?? 1;
    const from = Math.floor(first / together) * together;
    const to = Math.min(Math.ceil(end / together) * together, state.places.chunkCount);
    for (let at = from; at < to; ) {
      let until = Math.min(at + together, to);
      while (until < to && state.places.plan(at, until + 1).storedBytes <= mostBytes) until += 1;
      const plan = state.places.plan(at, until);
      const { bytesPerSecond, firstByteUs } = this.#options.link;
      const startUs = Math.max(this.#nowUs, this.#lineFreeUs);
      // Requests overlap, their bytes share the line.
      const afterUs = (bytes: number) => startUs + (Math.min(bytes, plan.storedBytes) / bytesPerSecond) * 1e6;
      this.#lineFreeUs = afterUs(plan.storedBytes);
      this.#link.carried(plan.storedBytes, this.#lineFreeUs - this.#nowUs);
      this.#requests += 1;
      this.#fetchedBytes += plan.storedBytes;
      let passed = 0;
      for (let chunk = plan.firstChunk; chunk < plan.endChunk; chunk += 1) {
        passed += storedOf(state.places, chunk);
        if (!state.readyUs.has(chunk)) state.readyUs.set(chunk, afterUs(passed) + firstByteUs);
      }
      at = Math.max(until, plan.endChunk);
    }
  }
}

function chunksBetween(first: number, end: number): readonly number[] {
  return Array.from({ length: Math.max(0, end - first) }, (_, at) => first + at);
}

function storedOf(places: LayerPlaces, chunk: number): number {
  return places.plan(chunk, chunk + 1).storedBytes;
}

/** What is waited for goes first, in one request with what is fetched ahead right behind it. */
function requestsFor(missing: readonly number[], ahead: readonly number[]): readonly Run[] {
  const wanted = runsOf(missing);
  const rest = new Set(ahead);
  const last = wanted.at(-1);
  if (last !== undefined) for (; rest.delete(last.end); last.end += 1);
  return [...wanted, ...runsOf([...rest].toSorted((a, b) => a - b))];
}

function runsOf(chunks: readonly number[]): Run[] {
  const runs: Run[] = [];
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
