import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface PartCommand {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What it prints, all starts together. */
  readonly logFile: string;
  ready(): Promise<boolean>;
  beforeStart?(): void;
}

/** A machine that is busy with other tests takes its time. */
const READY_MS = 90_000;
const RESTART_MS = 300;

/** One process of the stage: starts, dies, sleeps and comes back under the same address. */
export class Part implements AsyncDisposable {
  readonly name: string;
  readonly #command: PartCommand;
  /** How often it ended by itself. */
  restarts = 0;
  #isWanted = false;
  #startedMs = 0;
  #child: ChildProcess | undefined;
  #closed: Promise<unknown> = Promise.resolve();

  constructor(command: PartCommand) {
    this.name = command.name;
    this.#command = command;
  }

  start(): void {
    const { args, env = {}, logFile, program } = this.#command;
    this.#command.beforeStart?.();
    this.#startedMs = Date.now();
    const output = openSync(logFile, 'a');
    const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', output, output] });
    closeSync(output);
    this.#closed = once(child, 'close').catch(() => undefined);
    this.#child = child;
    this.#isWanted = true;
    child.once('close', () => {
      setTimeout(() => {
        this.#keep(child);
      }, RESTART_MS);
    });
  }

  /** Who ends by itself, because what it needs is away, is started again: as a supervisor would. */
  #keep(child: ChildProcess): void {
    if (!this.#isWanted || this.#child !== child) return;
    this.restarts += 1;
    this.start();
  }

  /** Of the process that runs, milliseconds since 1970. */
  get startedMs(): number {
    return this.#startedMs;
  }

  isReady(): Promise<boolean> {
    return this.#command.ready();
  }

  /** Throws when it does not answer. */
  async untilReady(): Promise<void> {
    const endMs = Date.now() + READY_MS;
    while (!(await this.#command.ready())) {
      if (Date.now() > endMs) throw new Error(`${this.name} does not answer; see ${this.#command.logFile}`);
      await sleep(50);
    }
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    this.#isWanted = false;
    this.#child?.kill('SIGKILL');
    await this.#closed;
  }

  /** Its exit code after SIGTERM; SIGKILL when it had to be killed. */
  async stop(patienceMs: number): Promise<number | NodeJS.Signals> {
    this.#isWanted = false;
    this.#child?.kill('SIGTERM');
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), patienceMs);
    await this.#closed;
    clearTimeout(timer);
    return this.#child?.exitCode ?? this.#child?.signalCode ?? 'SIGKILL';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.resume();
    await this.kill();
  }
}
