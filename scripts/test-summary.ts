// Sums what scripts/test.sh ran: `N passed, N failed`. Skipped tests and checks that failed without a test are failures.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

interface Count {
  passed: number;
  failed: number;
  skipped: string[];
}

interface VitestReport {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

function fromVitest(path: string): Count {
  const report = JSON.parse(readFileSync(path, 'utf8')) as VitestReport;
  const tests = report.testResults.flatMap((file) => file.assertionResults);
  return {
    passed: tests.filter(({ status }) => status === 'passed').length,
    failed: tests.filter(({ status }) => status === 'failed').length,
    skipped: tests.filter(({ status }) => status !== 'passed' && status !== 'failed').map(({ fullName }) => fullName),
  };
}

/**
 * cargo prints a line per test program, scripts/fuzz.sh one like it for its targets:
 * `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
 */
function fromCargo(path: string): Count {
  const log = readFileSync(path, 'utf8');
  const results = [...log.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed;/gm)];
  const sum = (at: number) => results.reduce((total, match) => total + Number(match[at]), 0);
  return {
    passed: sum(1),
    failed: sum(2),
    skipped: [...log.matchAll(/^test (.+) \.\.\. ignored/gm)].map((match) => match[1] ?? ''),
  };
}

const directory = process.argv[2] ?? '.';
const total: Count = { passed: 0, failed: 0, skipped: [] };
for (const file of readdirSync(directory).filter((name) => name.endsWith('.exit'))) {
  const name = basename(file, '.exit');
  const report = join(directory, `${name}.json`);
  const none: Count = { passed: 0, failed: 0, skipped: [] };
  const count =
    name === 'cargo-test' || name === 'fuzz'
      ? fromCargo(join(directory, `${name}.log`))
      : existsSync(report)
        ? fromVitest(report)
        : none;
  // A lint or a compiler that refuses, or a test program that dies, fails without naming a test.
  const exited = Number(readFileSync(join(directory, file), 'utf8'));
  total.passed += count.passed;
  total.failed += exited !== 0 && count.failed === 0 ? 1 : count.failed;
  total.skipped.push(...count.skipped);
}
for (const name of total.skipped) process.stderr.write(`skipped, counted as a failure: ${name}\n`);
const failed = total.failed + total.skipped.length;
process.stdout.write(`${total.passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 && total.passed > 0 ? 0 : 1;
