//! V1 archives: the bytes of every file inside, copied out of the layers. `docs/formats/clip.md`, "V1 archives".

mod files;
mod layer;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use archive_format::clip::V1Layout;
use archive_format::digest::{Digest, Sha256};
use archive_format::model::Image;
use archive_format::tables::LayerTable;
use serde::Serialize;

use crate::assemble::{AssembleJob, AssembleWarnings, MergedLayers, merge_layers};
use crate::error::IndexError;
use crate::limits::Limits;
use crate::merge::Merged;
use crate::output::OutputFile;
use crate::stop::Stop;
use files::{Files, check_holes, extents_of};
use layer::{copy_extra, copy_layer};

/// Read at once when the finished archive is hashed.
const HASH_STEP_BYTES: usize = 1 << 20;

/// What was written.
#[derive(Debug, Clone)]
pub struct V1Summary {
    /// SHA-256 of the whole file.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: u64,
    /// Names in the tree, the root among them.
    pub entries: u64,
    /// What was left out of the image in any archive.
    pub warnings: AssembleWarnings,
    /// What only V1 leaves out.
    pub v1_warnings: V1Warnings,
}

/// What a V1 archive has no place for, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct V1Warnings {
    /// Files with extended attributes, which are lost.
    pub lost_xattr_files: u64,
}

/// Merges the layers and writes an archive with the bytes of every file of the result. Each layer is decoded once, and only
/// when it has bytes that are left in the image. The same input gives the same bytes.
///
/// # Errors
/// USAGE for a layer without its blob, BLOB_MISMATCH for a blob of another digest, LAYER_TRUNCATED, LAYER_CORRUPT, and
/// the merge's and the writer's errors. The output is there whole or not at all.
pub fn assemble_v1(job: &AssembleJob, stop: &Stop) -> Result<V1Summary, IndexError> {
    let MergedLayers {
        merged: Merged { image, extra, .. },
        tables,
        warnings,
        ..
    } = merge_layers(&job.layers, stop)?;
    let layout = V1Layout::of(&image)?;
    check_holes(&image, &layout)?;
    let mut output = OutputFile::create(&job.output)?;
    let failed = |error| IndexError::io(format!("write {}", job.output.display()), error);
    output.file().set_len(layout.end()).map_err(failed)?;
    let digests = {
        let mut files = Files::new(output.file(), &image, &layout, stop);
        files.write_small()?;
        for (at, table) in tables.iter().enumerate() {
            let extents = extents_of(&image, &layout, at);
            if !extents.is_empty() {
                copy_layer(&blob_of(job, table)?, table, &extents, &mut files, stop)?;
            }
        }
        if let Some((stored, table)) = &extra {
            let extents = extents_of(&image, &layout, tables.len());
            copy_extra(stored, table, &extents, &mut files)?;
        }
        files.finish()?
    };
    let (header, index) = layout.index(&digests)?;
    let file = output.file();
    file.write_all_at(&index, layout.end()).map_err(failed)?;
    file.write_all_at(&header, 0).map_err(failed)?;
    let size_bytes = layout.end() + index.len() as u64;
    let digest = hash_file(job, stop)?;
    output.keep();
    Ok(V1Summary {
        digest,
        size_bytes,
        entries: layout.entries(),
        warnings,
        v1_warnings: warnings_of(&image),
    })
}

/// The file and media type of a layer's blob.
struct Blob {
    path: PathBuf,
    media_type: String,
    limits: Limits,
}

fn blob_of(job: &AssembleJob, table: &LayerTable) -> Result<Blob, IndexError> {
    let layer = job
        .layers
        .iter()
        .find(|layer| layer.digest == table.digest)
        .ok_or_else(|| IndexError::Internal("a table of no layer".to_owned()))?;
    let path = layer.blob.clone().ok_or_else(|| {
        IndexError::Usage(format!(
            "a V1 archive needs the blob of {}",
            layer.index.display()
        ))
    })?;
    Ok(Blob {
        path,
        media_type: layer.media_type.clone(),
        limits: Limits::default(),
    })
}

fn warnings_of(image: &Image) -> V1Warnings {
    let lost = image
        .inodes
        .iter()
        .filter(|inode| !inode.xattrs.is_empty())
        .count();
    V1Warnings {
        lost_xattr_files: lost as u64,
    }
}

/// Files lie by path and are written by layer, so the whole can only be hashed at the end; it is read from the page cache.
fn hash_file(job: &AssembleJob, stop: &Stop) -> Result<Digest, IndexError> {
    let failed = |error| IndexError::io(format!("read {}", job.output.display()), error);
    let mut file = File::open(&job.output).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; HASH_STEP_BYTES];
    loop {
        stop.check()?;
        let length = file.read(&mut buffer).map_err(failed)?;
        if length == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(buffer.get(..length).unwrap_or(&buffer));
    }
}
