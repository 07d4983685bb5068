// The local services: buildkitd, an OCI registry, an S3 server, Redis. Called by scripts/services.sh.
import { mkdirSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { BUCKET, environment, type Service, servicesOf } from './definitions.ts';
import { freePort } from './ports.ts';
import { isCurrent, launch, logFile, runningPid, terminate, untilReady } from './process.ts';
import { newKeys, type Places, placesOf, type Remembered, recall, writePrivate } from './state.ts';

const READY_TIMEOUT_MS = 30_000;
const STOP_GRACE_MS = 10_000;

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

/** Ports of services that run are kept; a port that a stranger took meanwhile is replaced. */
async function remember(places: Places): Promise<Remembered> {
  const before = recall(places);
  const running = new Set(
    before === undefined
      ? []
      : servicesOf(places, before)
          .filter((it) => runningPid(places, it) !== undefined)
          .map((it) => it.name),
  );
  const port = async (name: string, wanted: number | undefined) =>
    wanted !== undefined && running.has(name) ? wanted : await freePort(wanted);
  const now: Remembered = {
    ...(before ?? newKeys()),
    registryPort: await port('registry', before?.registryPort),
    s3Port: await port('s3', before?.s3Port),
    redisPort: await port('redis', before?.redisPort),
  };
  writePrivate(places.remembered, `${JSON.stringify(now, null, 2)}\n`);
  if (before !== undefined && before.registryPort !== now.registryPort) {
    // buildkitd reads which registry is plain http only when it starts.
    const daemon = servicesOf(places, now).find((it) => it.name === 'buildkit');
    if (daemon !== undefined) await terminate(places, daemon, STOP_GRACE_MS);
  }
  return now;
}

async function createBucket(remembered: Remembered): Promise<void> {
  const { CreateBucketCommand, S3Client } = await import('@aws-sdk/client-s3');
  const client = new S3Client({
    endpoint: `http://127.0.0.1:${remembered.s3Port}`,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: remembered.accessKey, secretAccessKey: remembered.secretKey },
  });
  try {
    await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'BucketAlreadyOwnedByYou') throw error;
  } finally {
    client.destroy();
  }
}

async function startOne(places: Places, service: Service): Promise<boolean> {
  const pid = runningPid(places, service);
  if (pid !== undefined && isCurrent(places, service, pid) && (await service.ready())) return false;
  await terminate(places, service, STOP_GRACE_MS);
  launch(places, service);
  await untilReady(places, service, READY_TIMEOUT_MS);
  return true;
}

async function start(places: Places): Promise<void> {
  const remembered = await remember(places);
  const lines = environment(places, remembered).map(([name, value]) => `${name}=${value}\n`);
  await Promise.all(
    servicesOf(places, remembered).map(async (service) => {
      const startedMs = performance.now();
      const fresh = await startOne(places, service);
      if (fresh && service.name === 's3') await createBucket(remembered);
      const took = ((performance.now() - startedMs) / 1000).toFixed(1);
      say(`${service.name}: ${service.address} ${fresh ? `started (${took} s)` : 'runs already'}`);
    }),
  );
  writePrivate(places.envFile, lines.join(''));
}

async function stop(places: Places): Promise<void> {
  const remembered = recall(places);
  if (remembered === undefined) return;
  await Promise.all(
    servicesOf(places, remembered).map(async (service) => {
      const stopped = await terminate(places, service, STOP_GRACE_MS);
      if (stopped) say(`${service.name}: stopped`);
    }),
  );
}

async function status(places: Places): Promise<void> {
  const remembered = recall(places);
  const services = remembered === undefined ? [] : servicesOf(places, remembered);
  for (const service of services) {
    const pid = runningPid(places, service);
    const answers = pid !== undefined && (await service.ready());
    const word =
      pid === undefined
        ? 'stopped'
        : answers
          ? `runs, pid ${pid}`
          : `pid ${pid}, does not answer; see ${logFile(places, service)}`;
    process.stdout.write(`${service.name}: ${service.address} ${word}\n`);
    if (!answers) process.exitCode = 1;
  }
  if (services.length === 0) {
    process.stdout.write('never started here; run scripts/services.sh start\n');
    process.exitCode = 1;
  }
}

function printEnvironment(places: Places): void {
  const remembered = recall(places);
  if (remembered === undefined) throw new Error('the services were never started; run scripts/services.sh start');
  const quote = (value: string) => `'${value.replaceAll("'", `'\\''`)}'`;
  for (const [name, value] of environment(places, remembered)) process.stdout.write(`export ${name}=${quote(value)}\n`);
}

const COMMANDS: Readonly<Record<string, (places: Places) => Promise<void> | void>> = {
  start,
  stop,
  status,
  env: printEnvironment,
};

const root = join(import.meta.dirname, '../..');
const command = COMMANDS[process.argv[2] ?? ''];
if (command === undefined) {
  say('usage: scripts/services.sh start|stop|status|env');
  process.exitCode = 64;
} else {
  const state = resolve(process.env['CLIPYARD_STATE'] ?? join(root, '.clipyard'));
  mkdirSync(state, { recursive: true });
  try {
    await command(placesOf(root, realpathSync(state)));
  } catch (error) {
    say(`services: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 70;
  }
}
