import { resolve } from 'node:path';
import { DEFAULT_LABEL, type ServicesFile } from './services-file.ts';

export const DEFAULT_REGISTRY = 'ghcr.io';
export const DEFAULT_ORG = 'milou-sh';
export const DEFAULT_REPO = 'milou';
const NAMES = ['database', 'backend', 'frontend', 'engine', 'nginx'];

/** What is built where there is no services file: the five services of the repository that lies beside this folder. */
export function designServices(workingDir: string, repo: string = DEFAULT_REPO): ServicesFile {
  return {
    registry: undefined,
    org: undefined,
    repo: undefined,
    source: resolve(workingDir, '..', repo),
    label: DEFAULT_LABEL,
    services: NAMES.map((name) => ({ name, context: name, args: {}, platforms: [] })),
  };
}
