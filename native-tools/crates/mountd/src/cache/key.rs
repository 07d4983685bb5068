//! Which layers share what is cached.

use archive_format::digest::{Digest, Sha256, hex};
use archive_format::tables::LayerTable;

/// The name of a layer's directory: its diffID, and a digest of all that says how its bytes are had and proven.
///
/// An archive that names other chunk digests, another blob or other spans for the same diffID gets a name of its own. So
/// it spoils nobody else's data, and a login that may read its blob gets no byte that came from another blob. The seek
/// points are left out: a wrong one costs bytes, never data, and their places differ between archives.
#[must_use]
pub fn layer_name(table: &LayerTable) -> String {
    format!("{}-{}", hex(&table.diff_id), hex(&recipe(table)))
}

fn recipe(table: &LayerTable) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(&table.chunk_table_digest());
    hasher.update(&table.digest);
    hasher.update(&[table.codec as u8]);
    for number in [table.blob_bytes, table.plain_bytes, table.first_span] {
        hasher.update(&number.to_le_bytes());
    }
    for span in &table.spans {
        hasher.update(&span.stored.to_le_bytes());
        hasher.update(&span.plain.to_le_bytes());
    }
    hasher.finish()
}
