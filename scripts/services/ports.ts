import { randomInt } from 'node:crypto';
import { connect, createServer } from 'node:net';

/** Below those that the kernel gives to clients and to whoever asks for any (ip_local_port_range): one of these stays free until its server starts. */
const PORTS = { first: 10_240, end: 32_768 } as const;
const TRIES = 50;

/** A port of loopback that nobody has now: the wanted one (that of last time) when it is free. */
export async function freePort(wanted?: number): Promise<number> {
  for (let tried = 0; tried < TRIES; tried += 1) {
    const candidate = (tried === 0 ? wanted : undefined) ?? randomInt(PORTS.first, PORTS.end);
    const port = await bind(candidate);
    if (port !== undefined) return port;
  }
  throw new Error('no free port on 127.0.0.1');
}

async function bind(port: number): Promise<number | undefined> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.once('error', () => {
      resolve(undefined);
    });
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        resolve(typeof address === 'object' && address !== null ? address.port : undefined);
      });
    });
  });
}

export async function answersHttp(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

export async function accepts(where: { path: string } | { port: number; host: string }): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(where);
    const done = (result: boolean) => {
      socket.destroy();
      resolve(result);
    };
    socket.once('connect', () => {
      done(true);
    });
    socket.once('error', () => {
      done(false);
    });
  });
}

/** Redis refuses everything until its data is loaded. */
export async function answersPing(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    const done = (result: boolean) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(2000, () => {
      done(false);
    });
    socket.once('data', (answer) => {
      done(answer.toString().startsWith('+PONG'));
    });
    socket.once('error', () => {
      done(false);
    });
  });
}
