//! Proving, before a mount is made, that its login may read what it would share.

use std::sync::Arc;
use std::thread;

use archive_format::tables::{LayerTable, RecordKind};

use super::layer_files::LayerFiles;
use super::right::Right;
use crate::cache::Cache;
use crate::source::{FetchError, FetchKind};

/// Questions in flight to a registry.
const AT_ONCE: usize = 8;

/// Asks for every layer that is in the cache, or that another login's mount has, whether this login may read it; and for
/// the mounts that have it without a proof yet whether theirs may. A layer that nobody has needs no question: fetching it
/// is the proof.
///
/// # Errors
/// The registry's refusal. When it cannot be asked the mount goes on: it shares nothing, and reads of what others
/// cached ask again.
pub(super) fn prove(
    files: &LayerFiles,
    cache: &Cache,
    tables: &[LayerTable],
    rights: &[Arc<Right>],
) -> Result<(), FetchError> {
    let mut questions = vec![];
    for (table, right) in tables.iter().zip(rights) {
        let others = files.others_with(cache.root(), table, right);
        // What an archive holds itself is looked at, not asked for.
        let is_shared =
            table.kind == RecordKind::Extra || !others.is_empty() || cache.has_some_of(table);
        if !right.is_proven() && is_shared {
            questions.push((Arc::clone(right), true));
        }
        let unproven = others.into_iter().filter(|other| !other.is_proven());
        questions.extend(unproven.map(|other| (other, false)));
    }
    for some in questions.chunks(AT_ONCE) {
        let answers: Vec<_> = thread::scope(|scope| {
            let asked: Vec<_> = some
                .iter()
                .map(|(right, _)| scope.spawn(|| right.prove()))
                .collect();
            asked.into_iter().map(|asked| asked.join().ok()).collect()
        });
        for ((_, is_ours), answer) in some.iter().zip(answers) {
            match answer {
                Some(Err(error)) if *is_ours && is_refusal(error.kind) => return Err(error),
                Some(Err(error)) => tracing::debug!(%error, "a layer is not shared"),
                _ => (),
            }
        }
    }
    Ok(())
}

fn is_refusal(kind: FetchKind) -> bool {
    matches!(
        kind,
        FetchKind::Denied | FetchKind::Unauthenticated | FetchKind::NotFound | FetchKind::Damaged
    )
}
