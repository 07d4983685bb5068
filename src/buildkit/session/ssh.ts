import { connect, type Socket } from 'node:net';
import { messageOf } from '../../errors/index.ts';
import {
  BytesMessage,
  CheckAgentRequest,
  CheckAgentResponse,
} from '../../gen/github.com/moby/buildkit/session/sshforward/ssh.ts';
import type { RpcCall } from './rpc-call.ts';
import type { RpcHandler } from './rpc-server.ts';
import { RPC_CODE, RPC_OK, type RpcStatus } from './rpc-status.ts';
import { decode, unary } from './unary.ts';

const DEFAULT_ID = 'default';

/** `moby.sshforward.v1.SSH`: lets a step talk to an agent socket of this machine; keys never leave the agent. */
export function sshHandlers(sockets: ReadonlyMap<string, string>): ReadonlyMap<string, RpcHandler> {
  const socketOf = (id: string | undefined) => sockets.get(id === undefined || id === '' ? DEFAULT_ID : id);
  const unknown = (id: string | undefined): RpcStatus => ({
    code: RPC_CODE.notFound,
    message: `ssh agent ${id === undefined || id === '' ? DEFAULT_ID : id} was not given`,
  });
  return new Map<string, RpcHandler>([
    [
      '/moby.sshforward.v1.SSH/CheckAgent',
      unary(CheckAgentRequest, CheckAgentResponse, ({ ID: id }) =>
        Promise.resolve(socketOf(id) === undefined ? unknown(id) : {}),
      ),
    ],
    [
      '/moby.sshforward.v1.SSH/ForwardAgent',
      async (call) => {
        const [id] = call.header('buildkit.ssh.id');
        const path = socketOf(id);
        return path === undefined ? unknown(id) : await forward(call, path);
      },
    ],
  ]);
}

async function forward(call: RpcCall, path: string): Promise<RpcStatus> {
  const agent = connect({ path, allowHalfOpen: true });
  const abort = () => {
    agent.destroy();
  };
  call.signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.all([toAgent(call, agent), fromAgent(call, agent)]);
    return RPC_OK;
  } catch (thrown) {
    return { code: RPC_CODE.unknown, message: `ssh agent at ${path}: ${messageOf(thrown)}` };
  } finally {
    call.signal.removeEventListener('abort', abort);
    agent.destroy();
  }
}

async function toAgent(call: RpcCall, agent: Socket): Promise<void> {
  for await (const bytes of call.messages()) {
    // Requests to an agent are small: what the socket does not take at once waits in memory.
    agent.write(decode(BytesMessage, bytes).data);
  }
  agent.end();
}

async function fromAgent(call: RpcCall, agent: Socket): Promise<void> {
  for await (const data of agent as AsyncIterable<Buffer>) await call.send(BytesMessage.encode({ data }).finish());
}
