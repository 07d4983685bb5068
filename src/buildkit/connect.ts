import type { BuildkitClient, ConnectOptions } from './client.ts';

/**
 * Connects to a buildkitd and asks for its version. gRPC and the generated messages are loaded here: the commands that build
 * nothing start without them. Throws BUILDKIT_UNAVAILABLE, CONFIG_INVALID.
 */
export async function connectBuildkit(options: ConnectOptions): Promise<BuildkitClient> {
  const { BuildkitClient } = await import('./client.ts');
  const client = new BuildkitClient(options);
  try {
    await client.info(options);
    return client;
  } catch (thrown) {
    await client[Symbol.asyncDispose]();
    throw thrown;
  }
}
