import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { authHandlers } from '../../../src/buildkit/session/auth.ts';
import { healthHandlers } from '../../../src/buildkit/session/health.ts';
import { secretHandlers } from '../../../src/buildkit/session/secrets.ts';
import { sshHandlers } from '../../../src/buildkit/session/ssh.ts';
import {
  CredentialsRequest,
  CredentialsResponse,
} from '../../../src/gen/github.com/moby/buildkit/session/auth/auth.ts';
import {
  GetSecretRequest,
  GetSecretResponse,
} from '../../../src/gen/github.com/moby/buildkit/session/secrets/secrets.ts';
import { BytesMessage } from '../../../src/gen/github.com/moby/buildkit/session/sshforward/ssh.ts';
import { HealthCheckResponse } from '../../../src/gen/grpc/health/v1/health.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { TestDaemon } from './rpc-client.ts';

test('health is SERVING', async () => {
  using daemon = new TestDaemon(healthHandlers());
  const { messages } = await daemon.call('/grpc.health.v1.Health/Check', {}, [Buffer.alloc(0)]);
  expect(messages.map((bytes) => HealthCheckResponse.decode(bytes).status)).toEqual([1]);
});

describe('credentials', () => {
  const logins = {
    get: (host: string) =>
      Promise.resolve(host === 'unknown:5000' ? undefined : { username: `user of ${host}`, secret: 's' }),
  };

  test.for<[host: string, username: string, secret: string]>([
    ['registry.example:5000', 'user of registry.example:5000', 's'],
    ['registry-1.docker.io', 'user of docker.io', 's'],
    ['unknown:5000', '', ''],
  ])('for %s are those of %j', async ([host, username, secret]) => {
    using daemon = new TestDaemon(authHandlers(logins));
    const request = CredentialsRequest.encode({ Host: host }).finish();
    const { messages } = await daemon.call('/moby.filesync.v1.Auth/Credentials', {}, [request]);
    expect(messages.map((bytes) => CredentialsResponse.decode(bytes))).toEqual([
      { Username: username, Secret: secret },
    ]);
  });

  test('are all that is served: the daemon then exchanges tokens itself', async () => {
    using daemon = new TestDaemon(authHandlers(logins));
    expect((await daemon.call('/moby.filesync.v1.Auth/FetchToken')).status).toBe('12');
  });
});

describe('secrets', () => {
  const ask = async (daemon: TestDaemon, id: string) => {
    const request = GetSecretRequest.encode(GetSecretRequest.fromPartial({ ID: id })).finish();
    return await daemon.call('/moby.buildkit.secrets.v1.Secrets/GetSecret', {}, [request]);
  };

  test('are read when they are asked for, and not before', async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, 'secret');
    using daemon = new TestDaemon(secretHandlers(new Map([['s', { file }]])));
    await writeFile(file, 'late');
    const { messages } = await ask(daemon, 's');
    expect(messages.map((bytes) => GetSecretResponse.decode(bytes).data.toString())).toEqual(['late']);
  });

  test('that are unknown are NOT_FOUND and no failure of ours', async () => {
    using daemon = new TestDaemon(secretHandlers(new Map()));
    expect((await ask(daemon, 'x')).status).toBe('5');
    expect(daemon.failures).toEqual([]);
  });

  test('whose file is gone fail with the path', async () => {
    using daemon = new TestDaemon(secretHandlers(new Map([['s', { file: '/nowhere/s' }]])));
    expect((await ask(daemon, 's')).status).toBe('2');
    expect(daemon.failures).toMatchObject([{ code: 'SECRET_NOT_FOUND', details: { id: 's' } }]);
  });
});

describe('an ssh agent', () => {
  const FORWARD = '/moby.sshforward.v1.SSH/ForwardAgent';

  test('gets what the step says and answers it, with both ends closing', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'agent.sock');
    const agent = createServer({ allowHalfOpen: true }, (socket) => {
      void (async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)
          chunks.push(chunk);
        socket.end(`you said ${Buffer.concat(chunks).toString()}`);
      })();
    });
    agent.listen(path);
    await once(agent, 'listening');
    try {
      using daemon = new TestDaemon(sshHandlers(new Map([['default', path]])));
      const sent = ['pi', 'ng'].map((text) => BytesMessage.encode({ data: Buffer.from(text) }).finish());
      const { messages, status } = await daemon.call(FORWARD, { 'buildkit.ssh.id': 'default' }, sent);
      expect(Buffer.concat(messages.map((bytes) => BytesMessage.decode(bytes).data)).toString()).toBe('you said ping');
      expect(status).toBe('0');
    } finally {
      agent.close();
    }
  });

  test('that does not listen fails the call, not the process', async () => {
    using daemon = new TestDaemon(sshHandlers(new Map([['default', '/nowhere/agent.sock']])));
    expect((await daemon.call(FORWARD, {}, [])).status).toBe('2');
  });

  test('that was not given is NOT_FOUND', async () => {
    using daemon = new TestDaemon(sshHandlers(new Map()));
    expect((await daemon.call(FORWARD, { 'buildkit.ssh.id': 'work' })).status).toBe('5');
    expect((await daemon.call('/moby.sshforward.v1.SSH/CheckAgent', {}, [Buffer.alloc(0)])).status).toBe('5');
  });
});
