import { describe, expect, test } from 'vitest';
import { checkRandomRegistry } from '../../support/release/retention-model.ts';

describe('random registries', () => {
  // scripts/soak.sh retention does 10 000 and more.
  const registries = Number(process.env['CLIPYARD_RETENTION_REGISTRIES'] ?? 60);

  test(`D23: of ${registries} random registries nothing live is lost, all garbage is found, and the checker sees a deletion too much`, async () => {
    const total = { deleted: 0, kept: 0, forged: 0 };
    for (let seed = 1; seed <= registries; seed++) {
      const { deleted, forged, kept } = await checkRandomRegistry(seed);
      total.deleted += deleted;
      total.kept += kept;
      total.forged += forged;
    }
    // A model that never deletes or never keeps proves nothing.
    expect(Math.min(total.deleted, total.kept, total.forged)).toBeGreaterThan(registries);
  }, 3_600_000);
});
