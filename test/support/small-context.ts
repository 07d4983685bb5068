import { randomUUID } from 'node:crypto';
import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const DOCKERFILE = `FROM scratch AS base
COPY busybox stamp /bin/
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox --install -s /bin && dd if=/dev/urandom of=/blob bs=64k count=48 2>/dev/null && mkdir /data"]
FROM base
COPY message /data/message
RUN ["/bin/sh", "-c", "cat /data/message > /data/copy && mkdir -p /srv && ln /data/copy /srv/linked"]
ENV GREETING=hello
CMD ["/bin/sh", "-c", "cat /data/copy"]
`;

/** A context whose image is small but real: RUN steps, a layer of 3 MB that differs for each build, one that hangs on a file. */
export async function smallContext(directory: string, message = 'first'): Promise<string> {
  await mkdir(directory, { recursive: true });
  await copyFile('/bin/busybox', join(directory, 'busybox'));
  await chmod(join(directory, 'busybox'), 0o755);
  await writeFile(join(directory, 'Dockerfile'), DOCKERFILE);
  // Every context has layers of its own, whatever BuildKit and the pack cache remember.
  await writeFile(join(directory, 'stamp'), randomUUID());
  await writeFile(join(directory, 'message'), message);
  return directory;
}
