import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import type { WorkerFlags } from '../worker-parts.ts';

const EXAMPLES = `
Examples:
  # one machine, with the local services of scripts/services.sh; a second one like it shares the queue
  clipyard worker --queue sqlite:.clipyard/queue.db --metrics 127.0.0.1:7481
  # a fleet: limits, policy, certificates and tokens stand in the file (docs/operations.md)
  clipyard worker --config /etc/clipyard/worker.json --listen 0.0.0.0:7480 --queue redis://queue.example:6379 \\
    --store s3://archives/prod --registry registry.example/images --buildkit tcp://127.0.0.1:1234 --concurrency 4

SIGTERM drains: no more builds are taken, those under way finish within the budget or are handed back to the queue.
Exit codes: 0 all were finished, 3 some were handed back; a second signal ends the program at once.
`;

export function addWorkerCommand(program: Command, context: CommandContext): void {
  program
    .command('worker')
    .description('Take builds from a queue and run them, until told to drain')
    .option('--config <file>', 'JSON file with limits, policy, certificates, tokens (docs/operations.md)')
    .option('--listen <address>', 'address of the API: host:port or unix:///path (CLIPYARD_SERVER)')
    .option('--queue <address>', 'sqlite:FILE or redis://host:port (CLIPYARD_QUEUE)')
    .option('--store <url>', 'where archives, contexts and logs go (CLIPYARD_STORE)')
    .option('--registry <host/repository>', 'where blobs and manifests go (CLIPYARD_REGISTRY)')
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .option('--buildkit <address>', 'unix:///path or tcp://host:port (CLIPYARD_BUILDKIT)')
    .option('--pack-cache-store <url>', 'share packs of layers through an object store (CLIPYARD_PACK_CACHE)')
    .option('--concurrency <n>', 'builds that run at once')
    .option('--drain-budget <seconds>', 'how long a drain waits for builds under way')
    .option('--metrics <host:port>', 'serve /metrics, /healthz and /readyz')
    .option('--worker-id <name>', 'name among the workers of the queue (default: host name and process)')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: WorkerFlags) => {
      const { worker } = await import('../actions/worker.ts');
      await worker(flags, context);
    });
}
