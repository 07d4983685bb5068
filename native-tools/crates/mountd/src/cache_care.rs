//! `clipyard-mountd cache`: looks after a cache directory, with daemons that use it or without any.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cache::Cache;
use crate::error::Error;

/// What to do with which cache.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheRequest {
    cache_dir: PathBuf,
    #[serde(flatten)]
    action: Action,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(
    tag = "action",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
enum Action {
    /// The layers and the archives, the longest unused first.
    Ls,
    /// Removes what nobody uses and nobody pinned until so much is left.
    Gc {
        keep_bytes: u64,
        #[serde(default)]
        dry_run: bool,
    },
    /// Checks every chunk and takes the damaged ones off the maps.
    Verify,
    /// Pins the layers of a diffID, or lets them go.
    Pin { diff_id: String, pinned: bool },
}

/// Does it.
///
/// # Errors
/// `IO_FAILED`; `PATH_NOT_FOUND` when no layer has the diffID.
pub fn care(request: &CacheRequest) -> Result<Value, Error> {
    let path = &request.cache_dir;
    let failed = |error| Error::io_at("look after the cache", path, error);
    let cache = Cache::open(path).map_err(failed)?;
    Ok(match &request.action {
        Action::Ls => {
            let layers = cache.list().map_err(failed)?;
            let shown: Vec<_> = layers
                .iter()
                .map(|layer| {
                    let name = layer.path.file_name().unwrap_or_default().to_string_lossy();
                    let diff_id = name.split('-').next().unwrap_or_default();
                    json!({
                        "diffId": format!("sha256:{diff_id}"),
                        "key": name,
                        "bytes": layer.bytes,
                        "plainBytes": layer.plain_bytes,
                        "lastUsedMs": milliseconds(layer.used),
                        "inUse": layer.in_use,
                        "pinned": layer.pinned,
                    })
                })
                .collect();
            let archives = cache.list_archives().map_err(failed)?;
            let archives: Vec<_> = archives
                .iter()
                .map(|archive| {
                    let name = archive.path.file_name().unwrap_or_default();
                    json!({
                        "name": name.to_string_lossy(),
                        "bytes": archive.bytes,
                        "lastUsedMs": milliseconds(archive.used),
                        "inUse": archive.in_use,
                    })
                })
                .collect();
            json!({ "layers": shown, "archives": archives })
        }
        Action::Gc {
            keep_bytes,
            dry_run,
        } => {
            let evicted = cache.evict(*keep_bytes, *dry_run).map_err(failed)?;
            json!({
                "layers": evicted.layers,
                "archives": evicted.archives,
                "freedBytes": evicted.bytes,
                "keptBytes": evicted.left_bytes,
            })
        }
        Action::Verify => {
            let found = cache.verify(|_| true).map_err(failed)?;
            let found = found.and(cache.verify_archives().map_err(failed)?);
            json!({
                "chunks": found.chunks,
                "bytes": found.bytes,
                "damaged": found.damaged,
                "unknownLayers": found.unknown_layers,
                "archives": found.archives,
                "damagedArchives": found.damaged_archives,
                "unknownArchives": found.unknown_archives,
            })
        }
        Action::Pin { diff_id, pinned } => {
            let prefix = diff_id.strip_prefix("sha256:").unwrap_or(diff_id);
            let layers = match prefix {
                "" => 0,
                prefix => cache.pin(prefix, *pinned).map_err(failed)?,
            };
            if layers == 0 {
                return Err(Error::LayerNotCached(diff_id.to_owned()));
            }
            json!({ "layers": layers })
        }
    })
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_the_caller_writes_them_and_a_layer_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let ask = |mut more: Value| {
            more["v"] = 1.into();
            more["cacheDir"] = directory.path().to_str().into();
            care(&serde_json::from_value(more).unwrap())
        };
        assert_eq!(
            ask(json!({ "action": "ls" })).unwrap(),
            json!({ "layers": [], "archives": [] })
        );
        let gc = ask(json!({ "action": "gc", "keepBytes": 0, "dryRun": true }));
        assert_eq!(gc.unwrap()["freedBytes"], 0);
        assert_eq!(ask(json!({ "action": "verify" })).unwrap()["chunks"], 0);
        let pin = ask(json!({ "action": "pin", "diffId": "sha256:00", "pinned": true }));
        assert!(pin.unwrap_err().to_string().contains("sha256:00"));
    }
}
