import type { ByteString } from '../../archive/index.ts';
import type { Limits } from '../../config/index.ts';
import type { EntryKind, LayerWarnings } from '../entry.ts';
import { beyond } from '../failure.ts';
import { MAX_NAME_BYTES, shown } from './names.ts';
import type { PaxRecords } from './pax.ts';

const PREFIX = 'SCHILY.xattr.';
type Fate =
  | 'kept'
  | keyof Pick<LayerWarnings, 'droppedOverlayXattrs' | 'droppedHostXattrs' | 'droppedUnsupportedXattrs'>;

/**
 * Counts what an image may not carry and holds the rest to the limits. The attributes themselves have no place in what
 * this engine writes. Throws LIMIT_EXCEEDED.
 */
export function checkXattrs(
  records: PaxRecords,
  { type }: EntryKind,
  name: ByteString,
  limits: Limits,
  warnings: LayerWarnings,
): void {
  let total = 0;
  // in the order of their names, so that of two errors the same one shows
  for (const [key, value] of [...records].sort(([a], [b]) => (a < b ? -1 : 1))) {
    // an empty record means "as without a record": engines built on Go never see it
    if (!key.startsWith(PREFIX) || value === '' || type === 'hardlink') continue;
    const attribute = key.slice(PREFIX.length);
    const fate = fateOf(attribute, type);
    if (fate !== 'kept') {
      warnings[fate] += 1;
      continue;
    }
    if (value.length > limits.maxXattrBytes) {
      const what = `${shown(name)}: the ${value.length} bytes of attribute ${shown(attribute as ByteString)}`;
      throw beyond(what, limits, 'maxXattrBytes');
    }
    total += attribute.length + value.length;
  }
  if (total > limits.maxXattrsBytes)
    throw beyond(`${shown(name)}: ${total} bytes of extended attributes`, limits, 'maxXattrsBytes');
}

function fateOf(name: string, type: EntryKind['type']): Fate {
  const has = (prefix: string): boolean => name.length > prefix.length && name.startsWith(prefix);
  if (has('trusted.overlay.') || has('user.overlay.')) return 'droppedOverlayXattrs';
  if (name === 'security.selinux' || name === 'system.nfs4_acl') return 'droppedHostXattrs';
  const takesUser = type === 'file' || type === 'directory';
  const supported =
    has('security.') ||
    has('trusted.') ||
    (takesUser && has('user.')) ||
    name === 'system.posix_acl_access' ||
    name === 'system.posix_acl_default';
  return supported && name.length <= MAX_NAME_BYTES ? 'kept' : 'droppedUnsupportedXattrs';
}
