import { WorkerError } from '../../errors/index.ts';
import type { BuildSpec } from '../build-spec.ts';
import type { WorkerPolicy } from './worker-policy.ts';

/** The network of a build's steps. Throws SOURCE_DENIED. */
export function networkOf(asked: BuildSpec['network'], policy: WorkerPolicy): BuildSpec['network'] {
  const network = asked === 'default' ? policy.network : asked;
  if (policy.networks.includes(network)) return network;
  throw new WorkerError('SOURCE_DENIED', `the worker's policy does not allow steps the network ${network}`, {
    network,
  });
}
