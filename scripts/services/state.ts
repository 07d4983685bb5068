import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a state directory remembers between starts. Keys are random per directory; ports stay until one is taken. */
export interface Remembered {
  readonly registryPort: number;
  readonly s3Port: number;
  readonly redisPort: number;
  readonly accessKey: string;
  readonly secretKey: string;
}

export interface Places {
  readonly state: string;
  readonly tools: string;
  readonly logs: string;
  readonly pids: string;
  /** Data of one service: `data('buildkit')`. */
  data(service: string): string;
  /** Files with keys, so only the owner may read them. */
  readonly remembered: string;
  readonly envFile: string;
  readonly buildkitSocket: string;
  /** Its alone, so that what a killed daemon left mounted there can be told from another's. */
  readonly buildkitTemporary: string;
}

/** A unix socket's path may be 107 bytes long; what holds sockets of a deep state directory is under /run. */
function socketPath(state: string, name: string, longestInside = 0): string {
  const natural = join(state, 'state/buildkit', name);
  if (Buffer.byteLength(natural) + longestInside <= 100) return natural;
  const short = createHash('sha256').update(state).digest('hex').slice(0, 12);
  return join('/run', `clipyard-${short}`, name);
}

/** The daemon forwards ssh agents through sockets in its folder of temporary files. */
const AGENT_SOCKET = '/.buildkit-ssh-sock1234567890/ssh_auth_sock';

export function placesOf(root: string, state: string): Places {
  return {
    state,
    tools: join(root, '.clipyard/bin'),
    logs: join(state, 'logs'),
    pids: join(state, 'run'),
    data: (service) => join(state, 'state', service),
    remembered: join(state, 'services.json'),
    envFile: join(state, 'services.env'),
    buildkitSocket: socketPath(state, 'buildkitd.sock'),
    buildkitTemporary: socketPath(state, 'tmp', AGENT_SOCKET.length),
  };
}

export function recall(places: Places): Remembered | undefined {
  try {
    return JSON.parse(readFileSync(places.remembered, 'utf8')) as Remembered;
  } catch {
    return undefined;
  }
}

export function writePrivate(path: string, text: string): void {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(`${path}.tmp`, text, { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}

export const newKeys = (): { accessKey: string; secretKey: string } => ({
  accessKey: randomBytes(10).toString('hex').toUpperCase(),
  secretKey: randomBytes(30).toString('base64url'),
});
