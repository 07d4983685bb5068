#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** The nearest folder with a package.json: the checkout's root, or the installed package's. */
function packageRoot(from: string): string {
  const parent = dirname(from);
  return existsSync(join(from, 'package.json')) || parent === from ? from : packageRoot(parent);
}

const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  // The first signal stops in order; the second one ends the program at once.
  process.once(signal, () => {
    interruption.abort(new DOMException(`stopped by ${signal}`, 'AbortError'));
    process.once(signal, () => process.exit(130));
  });
}

// What Node made of our sources, kept where nobody else may write (its default is in /tmp): halves the time to start.
// It must be on before the rest is loaded, hence the late import.
if (!process.env['NODE_COMPILE_CACHE'])
  enableCompileCache(join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'clipyard', 'compile'));
const { outputFailure, runCommandLine } = await import('../cli/index.ts');

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `clipyard ls … | head`: the reader has what it wanted.
  if (error.code === 'EPIPE') process.exit(0);
  const { exitCode, text } = outputFailure(error, process.argv);
  process.stderr.write(text);
  process.exit(exitCode);
});

process.exitCode = await runCommandLine(process.argv, {
  env: process.env,
  root: packageRoot(import.meta.dirname),
  signal: interruption.signal,
  stdout: process.stdout,
  stderr: process.stderr,
});
