import { credentials } from '@grpc/grpc-js';
import { ControlClient } from '../gen/github.com/moby/buildkit/api/services/control/control.ts';
import { grpcTarget } from './address.ts';

/** 64 KiB windows halve the speed of blob reads (16 MiB: 585 MB/s instead of 262). */
const WINDOW_BYTES = 16 * 1024 * 1024;

/** A connection of its own to a buildkitd; nothing is dialled before the first call. Throws CONFIG_INVALID. */
export function openChannel(address: string): ControlClient {
  return new ControlClient(grpcTarget(address), credentials.createInsecure(), {
    'grpc-node.flow_control_window': WINDOW_BYTES,
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    'grpc.default_authority': 'localhost',
    'grpc.enable_retries': 0,
    'grpc.service_config_disable_resolution': 1,
    // Connections with equal options are shared otherwise, and blob bytes would queue in front of status and health.
    'grpc.use_local_subchannel_pool': 1,
  });
}
