import type { ImageConfig } from '../../oci/index.ts';
import type { Finding } from './finding.ts';
import type { Package } from './packages/package.ts';

/** What is wrong with an image by its configuration and packages, whatever advisories say. */
export function imageFindings(config: ImageConfig, packages: readonly Package[]): readonly Finding[] {
  return [...rootFinding(config), ...secretFindings(config), ...doubleFindings(packages)];
}

const CONFIG_FILE = 'image configuration';

function rootFinding({ config }: ImageConfig): readonly Finding[] {
  const user = config?.User?.split(':')[0] ?? '';
  if (user !== '' && user !== '0' && user !== 'root') return [];
  return [
    { rule: 'IMG/root', severity: 'low', message: 'its processes run as root: no USER is set', file: CONFIG_FILE },
  ];
}

function secretFindings({ config }: ImageConfig): readonly Finding[] {
  return (config?.Env ?? []).flatMap((line) => {
    const [name = '', value = ''] = line.split(/=(.*)/s);
    if (value === '' || !/(?:^|_)(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY)$/i.test(name)) return [];
    const message = `the variable ${name} holds a secret that everybody who pulls can read`;
    return [{ rule: 'IMG/secret-in-env', severity: 'high', message, file: CONFIG_FILE }] as const;
  });
}

/** Two versions of one Python distribution in one folder: what is imported is a matter of luck. */
function doubleFindings(packages: readonly Package[]): readonly Finding[] {
  const seen = new Map<string, Package>();
  return packages.flatMap((each) => {
    if (each.ecosystem !== 'PyPI') return [];
    const key = `${each.path.replace(/\/[^/]+\.(?:dist|egg)-info(?:\/.*)?$/, '')}\0${each.name}`;
    const first = seen.get(key);
    if (first === undefined) {
      seen.set(key, each);
      return [];
    }
    const message = `${each.name} is there twice: ${first.version} and ${each.version}`;
    return [{ rule: 'IMG/package-twice', severity: 'medium', message, file: each.path.replace(/^\//, '') }] as const;
  });
}
