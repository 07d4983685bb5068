//! Layer indexes, manifest and configuration become an archive.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use archive_format::digest::{Digest, hex, oci};
use archive_format::tables::LayerTable;
use archive_format::write::{ArchiveInput, ArchiveSummary, ManifestLayer, write_archive};

use crate::entry::Warnings;
use crate::error::IndexError;
use crate::index_file::IndexReader;
use crate::merge::{Merge, MergeWarnings, Merged};
use crate::output::OutputFile;
use crate::stop::Stop;

/// A layer as the manifest lists it.
#[derive(Debug, Clone)]
pub struct AssembleLayer {
    /// Its index.
    pub index: PathBuf,
    /// The blob's digest in the manifest.
    pub digest: Digest,
    /// The descriptor's media type.
    pub media_type: String,
    /// The blob itself, for archives that hold the files' bytes.
    pub blob: Option<PathBuf>,
}

/// Everything an archive is made of.
#[derive(Debug, Clone)]
pub struct AssembleJob {
    /// Where the archive goes.
    pub output: PathBuf,
    /// Layers in manifest order, bottom first.
    pub layers: Vec<AssembleLayer>,
    /// The image configuration, byte for byte.
    pub config: PathBuf,
    /// The platform manifest, byte for byte.
    pub manifest: PathBuf,
    /// Registry as host and port.
    pub registry: String,
    /// Repository in the registry.
    pub repository: String,
    /// Digest of the platform manifest.
    pub reference: String,
    /// The name the image was indexed under.
    pub image_name: String,
}

/// What was left out of the image on purpose.
#[derive(Debug, Clone, Copy, Default)]
pub struct AssembleWarnings {
    /// By the layers.
    pub layers: Warnings,
    /// By the merge.
    pub merge: MergeWarnings,
}

/// Manifests and configurations are small; the image-spec asks registries for 4 MiB.
const MAX_DOCUMENT_BYTES: u64 = 16 << 20;
/// Chunk size of `extra` when there is no layer to go by.
const DEFAULT_CHUNK_BYTES: u32 = 256 << 10;

/// The layers of a job as one tree.
#[derive(Debug)]
pub(crate) struct MergedLayers {
    pub(crate) merged: Merged,
    /// Of the distinct layers in device order; `extra` is not among them.
    pub(crate) tables: Vec<LayerTable>,
    /// The windows of all layers, as section `seek` holds them.
    pub(crate) seek: Vec<u8>,
    /// The layers as the manifest lists them.
    pub(crate) manifest_layers: Vec<ManifestLayer>,
    pub(crate) warnings: AssembleWarnings,
}

/// Merges the layers and writes the archive. The same input gives the same bytes.
///
/// # Errors
/// LAYER_INDEX_INVALID, ARCHIVE_MISMATCH when an index is of another blob, the merge's and the writer's errors.
pub fn assemble(
    job: &AssembleJob,
    stop: &Stop,
) -> Result<(ArchiveSummary, AssembleWarnings), IndexError> {
    let MergedLayers {
        merged: Merged { image, extra, .. },
        mut tables,
        seek,
        manifest_layers,
        warnings,
    } = merge_layers(&job.layers, stop)?;
    let extra = extra.map(|(stored, table)| {
        tables.push(table);
        stored
    });
    let input = ArchiveInput {
        image: &image,
        tables: &tables,
        extra: extra.as_deref().unwrap_or_default(),
        seek: &seek,
        manifest_layers: &manifest_layers,
        config: &read_document(&job.config)?,
        manifest: &read_document(&job.manifest)?,
        registry: &job.registry,
        repository: &job.repository,
        reference: &job.reference,
        image_name: &job.image_name,
    };
    let mut output = OutputFile::create(&job.output)?;
    let mut writer = BufWriter::with_capacity(1 << 20, Stoppable(output.file(), stop));
    let written = write_archive(&input, &mut writer).map_err(IndexError::from);
    let flushed = writer
        .flush()
        .map_err(|error| IndexError::io(format!("write {}", job.output.display()), error));
    drop(writer);
    stop.check()?;
    let summary = written?;
    flushed?;
    output.keep();
    Ok((summary, warnings))
}

/// Applies the layers' indexes one on the other.
pub(crate) fn merge_layers(
    layers: &[AssembleLayer],
    stop: &Stop,
) -> Result<MergedLayers, IndexError> {
    let mut merge = Merge::new();
    let mut tables: Vec<LayerTable> = Vec::new();
    let mut seek = Vec::new();
    let mut manifest_layers = Vec::new();
    let mut warnings = AssembleWarnings::default();
    for layer in layers {
        stop.check()?;
        let index = IndexReader::open(&layer.index)?;
        let table = index.table();
        if table.digest != layer.digest {
            return Err(IndexError::IndexMismatch(format!(
                "{} describes {}, asked for {}",
                layer.index.display(),
                oci(&table.digest),
                oci(&layer.digest)
            )));
        }
        let known = tables
            .iter()
            .position(|known| known.diff_id == table.diff_id);
        let device = known.unwrap_or(tables.len());
        let device = u16::try_from(device)
            .map_err(|_| IndexError::limit("the number of layers", u64::from(u16::MAX)))?;
        merge.begin_layer(device);
        index
            .for_each(|entry| merge.apply(entry))
            .map_err(|error| in_layer(error, table))?;
        add_warnings(&mut warnings.layers, index.warnings());
        manifest_layers.push(ManifestLayer {
            digest: table.digest,
            diff_id: table.diff_id,
            media_type: layer.media_type.clone(),
            size: table.blob_bytes,
        });
        if known.is_none() {
            let mut table = table.clone();
            table.media_type.clone_from(&layer.media_type);
            if let Some(columns) = &mut table.seek {
                columns.shift_windows(seek.len() as u64);
            }
            seek.extend_from_slice(index.windows());
            tables.push(table);
        }
    }
    let extra_device = u16::try_from(tables.len())
        .map_err(|_| IndexError::limit("the number of layers", u64::from(u16::MAX)))?;
    let chunk_bytes = tables
        .first()
        .map_or(DEFAULT_CHUNK_BYTES, |table| table.chunk_bytes);
    let merged = merge.finish(extra_device, chunk_bytes)?;
    warnings.merge = merged.warnings;
    stop.check()?;
    Ok(MergedLayers {
        merged,
        tables,
        seek,
        manifest_layers,
        warnings,
    })
}

/// A file that refuses bytes once the work is to stop.
struct Stoppable<'a>(&'a mut File, &'a Stop);

impl Write for Stoppable<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.1.is_raised() {
            return Err(io::Error::other("stopped"));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Says which layer a merge error is about.
fn in_layer(error: IndexError, table: &LayerTable) -> IndexError {
    let layer = hex(&table.digest);
    match error {
        IndexError::PathInvalid(what) => IndexError::PathInvalid(format!("layer {layer}: {what}")),
        IndexError::Corrupt(what) => IndexError::Corrupt(format!("layer {layer}: {what}")),
        other => other,
    }
}

fn add_warnings(sum: &mut Warnings, layer: Warnings) {
    sum.dropped_overlay_xattrs += layer.dropped_overlay_xattrs;
    sum.dropped_host_xattrs += layer.dropped_host_xattrs;
    sum.dropped_unsupported_xattrs += layer.dropped_unsupported_xattrs;
    sum.ignored_global_headers += layer.ignored_global_headers;
}

fn read_document(path: &Path) -> Result<Vec<u8>, IndexError> {
    let failed = |error| IndexError::io(format!("read {}", path.display()), error);
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MAX_DOCUMENT_BYTES {
        return Err(IndexError::limit(
            format!("{} of {length} bytes", path.display()),
            MAX_DOCUMENT_BYTES,
        ));
    }
    fs::read(path).map_err(failed)
}
