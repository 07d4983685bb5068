//! What stands behind each device of the image.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive_format::digest::{blake3, oci};
use archive_format::tables::LayerTable;

use super::layer_files::LayerFile;
use crate::error::Error;

/// A device as the kernel gets it.
#[derive(Debug)]
pub(super) enum Device {
    /// A file of ours with this name, filled on demand.
    Served(String),
    /// The cache file of a complete layer, for engine erofs; engine fuse has it served.
    HandedOver(File),
    /// A plain file that holds the whole layer, read by the kernel without us.
    Local(File),
}

/// Chooses for each device, in order. A local file is proven chunk by chunk before the kernel gets it.
pub(super) fn choose(
    files: &[Arc<LayerFile>],
    tables: &[LayerTable],
    local: &BTreeMap<String, PathBuf>,
) -> Result<Vec<Device>, Error> {
    files
        .iter()
        .zip(tables)
        .map(|(file, table)| match local.get(&oci(&table.diff_id)) {
            // A device ends with a whole block; a tar that does not would be read short by the kernel.
            Some(path) if table.plain_bytes.is_multiple_of(512) => {
                open_local(path, table).map(Device::Local)
            }
            _ => Ok(match file.whole() {
                Some(whole) => Device::HandedOver(whole),
                None => Device::Served(file.name.clone()),
            }),
        })
        .collect()
}

fn open_local(path: &Path, table: &LayerTable) -> Result<File, Error> {
    let failed = |error| Error::io_at("read the local layer", path, error);
    let mut file = File::open(path).map_err(failed)?;
    let wrong = |why: String| Error::LocalLayer {
        path: path.display().to_string(),
        why,
    };
    let length = file.metadata().map_err(failed)?.len();
    if length != table.plain_bytes {
        return Err(wrong(format!(
            "{length} bytes, layer {} has {}",
            oci(&table.diff_id),
            table.plain_bytes
        )));
    }
    let mut bytes = vec![];
    for (index, chunk) in table.chunks.iter().enumerate() {
        bytes.resize(chunk.plain as usize, 0);
        file.read_exact(&mut bytes).map_err(failed)?;
        if blake3(&bytes) != chunk.digest {
            return Err(wrong(format!(
                "chunk {index} of layer {} does not have its digest",
                oci(&table.diff_id)
            )));
        }
    }
    Ok(file)
}
