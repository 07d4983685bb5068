import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** An authority made for one test, and certificates of servers by it. */
export interface TestAuthority {
  /** Its own certificate, PEM. */
  readonly caFile: string;
  /** `subjectAltName` as OpenSSL writes it: `IP:127.0.0.1`, `DNS:name`. With days below 0 it has expired. */
  issue(name: string, subjectAltName: string, days?: number): Promise<Certificate>;
  selfSigned(subjectAltName: string): Promise<Certificate>;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export async function createAuthority(directory: string): Promise<TestAuthority> {
  const at = (name: string) => join(directory, name);
  const openssl = (...args: readonly string[]) => run('openssl', args, { cwd: directory });
  await openssl('req', '-x509', ...NEW_KEY, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test authority');
  const read = async (name: string) => ({
    cert: await readFile(at(`${name}.pem`), 'utf8'),
    key: await readFile(at(`${name}.key`), 'utf8'),
  });
  return {
    caFile: at('ca.pem'),
    async issue(name, subjectAltName, days = 1) {
      await openssl('req', '-new', ...NEW_KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
      await writeFile(at(`${name}.ext`), `subjectAltName=${subjectAltName}\n`);
      const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', String(days), '-extfile', `${name}.ext`];
      await openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, ...signing);
      return await read(name);
    },
    async selfSigned(subjectAltName) {
      const name = ['-subj', '/CN=self', '-addext', `subjectAltName=${subjectAltName}`];
      await openssl('req', '-x509', ...NEW_KEY, '-keyout', 'self.key', '-out', 'self.pem', ...name);
      return await read('self');
    },
  };
}
