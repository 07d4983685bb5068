import { compare as comparePep440, valid as isPep440 } from '@renovatebot/pep440';
import semver from 'semver';

/** Ecosystems whose versions are semantic ones; what is none is ordered as Debian would. */
const SEMANTIC: ReadonlySet<string> = new Set(['npm', 'crates.io', 'Go']);

/** Below 0: `one` is older. By the rules of the ecosystem, as OSV names it. */
export function compareVersionsOf(ecosystem: string, one: string, other: string): number {
  if (SEMANTIC.has(ecosystem)) {
    const [left, right] = [semver.parse(one), semver.parse(other)];
    if (left !== null && right !== null) return semver.compare(left, right);
  }
  if (ecosystem === 'PyPI' && isPep440(one) !== null && isPep440(other) !== null) return comparePep440(one, other);
  // apk has words for what comes before a release where Debian has a `~`.
  const plain = (version: string) =>
    ecosystem.startsWith('Alpine') ? version.replace(/_(?=alpha|beta|pre|rc)/, '~') : version;
  return compareDebian(plain(one), plain(other));
}

/** deb-version(7), "Sorting algorithm": epoch, upstream version, revision. It orders other dotted versions too. */
export function compareDebian(one: string, other: string): number {
  const [left, right] = [partsOf(one), partsOf(other)];
  return (
    left.epoch - right.epoch || compareText(left.upstream, right.upstream) || compareText(left.revision, right.revision)
  );
}

function partsOf(version: string): { readonly epoch: number; readonly upstream: string; readonly revision: string } {
  const [, epoch = '0', rest = version] = /^(\d+):(.*)$/s.exec(version) ?? [];
  const dash = rest.lastIndexOf('-');
  return {
    epoch: Number(epoch),
    upstream: dash === -1 ? rest : rest.slice(0, dash),
    revision: dash === -1 ? '' : rest.slice(dash + 1),
  };
}

/** Text and numbers by turns; `~` is before everything, even the end, and letters before all else. */
function compareText(one: string, other: string): number {
  let [left, right] = [one, other];
  while (left !== '' || right !== '') {
    const [a = '', b = ''] = [/^\D*/.exec(left)?.[0], /^\D*/.exec(right)?.[0]];
    for (let at = 0; at < Math.max(a.length, b.length); at += 1) {
      const order = weightOf(a[at]) - weightOf(b[at]);
      if (order !== 0) return order;
    }
    [left, right] = [left.slice(a.length), right.slice(b.length)];
    const [m = '', n = ''] = [/^\d*/.exec(left)?.[0], /^\d*/.exec(right)?.[0]];
    const difference = BigInt(m === '' ? '0' : m) - BigInt(n === '' ? '0' : n);
    if (difference !== 0n) return difference < 0n ? -1 : 1;
    [left, right] = [left.slice(m.length), right.slice(n.length)];
  }
  return 0;
}

function weightOf(character: string | undefined): number {
  if (character === '~') return -1;
  if (character === undefined) return 0;
  return /[A-Za-z]/.test(character) ? character.charCodeAt(0) : character.charCodeAt(0) + 256;
}
