//! The JSON of the requests and results of `clipyard-index`. `test/golden/protocol` holds examples of each.

use std::path::PathBuf;

use archive_format::digest::{Digest, oci, parse_oci};
use archive_format::verify::Report;
use archive_format::write::ArchiveSummary;
use serde::{Deserialize, Serialize};

use crate::assemble::{AssembleJob, AssembleLayer, AssembleWarnings};
use crate::entry::Warnings;
use crate::error::IndexError;
use crate::limits::Limits;
use crate::merge::MergeWarnings;
use crate::pack::{
    Action, Encoding, LayerJob, LayerReport, LevelControl, Origin, PackOptions, SEEK_BYTES,
    ZSTD_LEVELS,
};
use crate::v1::{V1Summary, V1Warnings};

/// Chunk sizes that can be asked for: those the format allows, as far as the pipeline's memory bound holds.
const CHUNK_BYTES: std::ops::RangeInclusive<u32> = 4096..=4 << 20;

/// `pack`: make blobs and indexes of layers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PackRequest {
    v: u32,
    jobs: usize,
    chunk_bytes: u32,
    layers: Vec<PackLayer>,
    #[serde(default)]
    limits: Limits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PackLayer {
    id: String,
    /// A path, or `socket:` and the path of a unix socket.
    source: String,
    /// The file that has the stretches of a stream; `source` is then its plan.
    data: Option<PathBuf>,
    media_type: String,
    diff_id: Option<String>,
    expected_digest: Option<String>,
    expected_size: Option<u64>,
    action: ActionRequest,
    index: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
enum ActionRequest {
    Pack {
        codec: CodecRequest,
        #[serde(default = "default_level")]
        level: i32,
        output: PathBuf,
    },
    Keep {},
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CodecRequest {
    Zstd,
    Gzip,
    None,
}

fn default_level() -> i32 {
    1
}

impl PackRequest {
    /// Checks the request.
    ///
    /// # Errors
    /// USAGE with what is wrong.
    pub fn into_jobs(self) -> Result<(Vec<LayerJob>, PackOptions), IndexError> {
        check_version(self.v)?;
        if !self.chunk_bytes.is_power_of_two() || !CHUNK_BYTES.contains(&self.chunk_bytes) {
            return Err(usage(format!(
                "chunkBytes {}: a power of two from 4096 to 4194304",
                self.chunk_bytes
            )));
        }
        if !(1..=256).contains(&self.jobs) {
            return Err(usage(format!("jobs {}: 1 to 256", self.jobs)));
        }
        let options = PackOptions {
            seek_bytes: SEEK_BYTES,
            jobs: self.jobs,
            chunk_bytes: self.chunk_bytes,
            limits: self.limits,
            level: LevelControl::default(),
        };
        let jobs = self
            .layers
            .into_iter()
            .map(PackLayer::into_job)
            .collect::<Result<_, _>>()?;
        Ok((jobs, options))
    }
}

impl PackLayer {
    fn into_job(self) -> Result<LayerJob, IndexError> {
        let action = match self.action {
            ActionRequest::Keep {} => Action::Keep,
            ActionRequest::Pack {
                codec,
                level,
                output,
            } => Action::Pack {
                encoding: match codec {
                    CodecRequest::Zstd if ZSTD_LEVELS.contains(&level) => Encoding::Zstd(level),
                    CodecRequest::Gzip if (1..=12).contains(&level) => Encoding::Gzip(level),
                    CodecRequest::None => Encoding::Plain,
                    _ => {
                        return Err(usage(format!(
                            "level {level}: zstd has 1 to 19, gzip 1 to 12"
                        )));
                    }
                },
                output,
            },
        };
        let source = match (self.source.strip_prefix("socket:"), self.data) {
            (_, Some(data)) => Origin::Planned {
                plan: self.source.into(),
                data,
            },
            (Some(_), None) if self.expected_digest.is_none() => {
                return Err(usage(format!(
                    "layer {:?} from a socket needs an expectedDigest",
                    self.id
                )));
            }
            (Some(path), None) => Origin::Socket(path.into()),
            (None, None) => Origin::File(self.source.into()),
        };
        Ok(LayerJob {
            id: self.id,
            source,
            media_type: self.media_type,
            diff_id: self.diff_id.as_deref().map(digest).transpose()?,
            expected_digest: self.expected_digest.as_deref().map(digest).transpose()?,
            expected_size: self.expected_size,
            action,
            index: self.index,
        })
    }
}

/// What may follow a `pack` request on stdin, one line each.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PackControl {
    /// The zstd level from now on.
    pub level: i32,
}

/// The result of one packed layer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerResult {
    digest: String,
    diff_id: String,
    media_type: String,
    size_bytes: u64,
    plain_bytes: u64,
    entries: u64,
    chunks: u64,
    spans: u64,
    seekable: bool,
    format: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ignored_seek_table: bool,
    warnings: Warnings,
}

impl From<&LayerReport> for LayerResult {
    fn from(report: &LayerReport) -> Self {
        Self {
            digest: oci(&report.digest),
            diff_id: oci(&report.diff_id),
            media_type: report.media_type.clone(),
            size_bytes: report.size_bytes,
            plain_bytes: report.plain_bytes,
            entries: report.entries,
            chunks: report.chunks,
            spans: report.spans,
            seekable: report.is_seekable,
            format: report.recognised.format.name(),
            ignored_seek_table: report.recognised.ignored_seek_table,
            warnings: report.warnings,
        }
    }
}

/// `assemble`: make an archive of layer indexes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssembleRequest {
    v: u32,
    output: PathBuf,
    layers: Vec<AssembleLayerRequest>,
    config: PathBuf,
    manifest: PathBuf,
    storage: StorageRequest,
    image_name: String,
    #[serde(default)]
    format: ArchiveFormat,
}

/// Which kind of archive `assemble` makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArchiveFormat {
    /// Ours: an index with sections.
    #[default]
    Clipyard,
    /// CLIP's local data archive: the files' bytes are inside. Every layer needs its `blob`.
    V1,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AssembleLayerRequest {
    index: PathBuf,
    digest: String,
    media_type: String,
    #[serde(default)]
    blob: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StorageRequest {
    registry: String,
    repository: String,
    reference: String,
}

impl AssembleRequest {
    /// Checks the request.
    ///
    /// # Errors
    /// USAGE with what is wrong.
    pub fn into_job(self) -> Result<(AssembleJob, ArchiveFormat), IndexError> {
        check_version(self.v)?;
        digest(&self.storage.reference)?;
        let layers = self
            .layers
            .into_iter()
            .map(|layer| {
                Ok(AssembleLayer {
                    digest: digest(&layer.digest)?,
                    index: layer.index,
                    media_type: layer.media_type,
                    blob: layer.blob,
                })
            })
            .collect::<Result<_, IndexError>>()?;
        let job = AssembleJob {
            output: self.output,
            layers,
            config: self.config,
            manifest: self.manifest,
            registry: self.storage.registry,
            repository: self.storage.repository,
            reference: self.storage.reference,
            image_name: self.image_name,
        };
        Ok((job, self.format))
    }
}

/// The result of `assemble`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssembleResult {
    digest: String,
    size_bytes: u64,
    clip_bytes: u64,
    entries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    footer_digest: Option<String>,
    mount_bytes: u64,
    sections: Vec<SectionResult>,
    warnings: WarningsResult,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SectionResult {
    name: &'static str,
    offset: u64,
    stored_bytes: u64,
    plain_bytes: u64,
    digest: String,
}

#[derive(Debug, Serialize)]
struct WarningsResult {
    #[serde(flatten)]
    layers: Warnings,
    #[serde(flatten)]
    merge: MergeWarnings,
    #[serde(flatten)]
    v1: Option<V1Warnings>,
}

impl AssembleResult {
    /// The result of a summary.
    #[must_use]
    pub fn new(summary: &ArchiveSummary, warnings: AssembleWarnings) -> Self {
        Self {
            digest: oci(&summary.digest),
            size_bytes: summary.size_bytes,
            clip_bytes: summary.clip_bytes,
            entries: summary.entries,
            footer_digest: Some(oci(&summary.footer_digest)),
            mount_bytes: summary.mount_bytes,
            sections: summary
                .sections
                .iter()
                .map(|section| SectionResult {
                    name: section.section.name(),
                    offset: section.offset,
                    stored_bytes: section.stored_bytes,
                    plain_bytes: section.plain_bytes,
                    digest: oci(&section.digest),
                })
                .collect(),
            warnings: WarningsResult {
                layers: warnings.layers,
                merge: warnings.merge,
                v1: None,
            },
        }
    }

    /// The result of a V1 archive, which has no sections and is read as a whole.
    #[must_use]
    pub fn of_v1(summary: &V1Summary) -> Self {
        Self {
            digest: oci(&summary.digest),
            size_bytes: summary.size_bytes,
            clip_bytes: summary.size_bytes,
            entries: summary.entries,
            footer_digest: None,
            mount_bytes: summary.size_bytes,
            sections: Vec::new(),
            warnings: WarningsResult {
                layers: summary.warnings.layers,
                merge: summary.warnings.merge,
                v1: Some(summary.v1_warnings),
            },
        }
    }
}

/// `verify`: check an archive offline.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyRequest {
    /// Protocol version.
    pub v: u32,
    /// The archive.
    pub archive: PathBuf,
}

/// `unpack-erofs`: write the metadata image of an archive to a file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnpackErofsRequest {
    /// Protocol version.
    pub v: u32,
    /// The archive.
    pub archive: PathBuf,
    /// Where the image goes.
    pub output: PathBuf,
}

/// The result of `verify`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyResult {
    kind: &'static str,
    entries: u64,
    size_bytes: u64,
    layers: u64,
}

impl From<Report> for VerifyResult {
    fn from(report: Report) -> Self {
        Self {
            kind: report.kind.name(),
            entries: report.entries,
            size_bytes: report.size_bytes,
            layers: report.layers,
        }
    }
}

/// # Errors
/// USAGE for a version this program does not speak.
pub fn check_version(version: u32) -> Result<(), IndexError> {
    if version == tool_protocol::VERSION {
        Ok(())
    } else {
        Err(usage(format!(
            "protocol version {version}, this program speaks {}",
            tool_protocol::VERSION
        )))
    }
}

fn digest(text: &str) -> Result<Digest, IndexError> {
    parse_oci(text).ok_or_else(|| usage(format!("{text:?} is no sha256 digest")))
}

fn usage(what: String) -> IndexError {
    IndexError::Usage(what)
}
