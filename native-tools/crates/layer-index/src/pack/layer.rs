//! One layer from its source to its blob and index.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::{self, ScopedJoinHandle};

use archive_format::tables::{Codec, LayerTable, RecordKind, Span};
use crossbeam_channel::{Sender, bounded, unbounded};

use super::collect::{Blob, Collected, collect};
use super::expect;
use super::feed::Feeder;
use super::hash::{Hashed, hash_stream};
use super::worker::Task;
use super::{Action, Encoding, LayerJob, LayerReport, PackOptions};
use crate::buffers::{BufferPool, Piece};
use crate::error::IndexError;
use crate::index_file::IndexWriter;
use crate::limits::Limits;
use crate::media::{codec_of, packed_media_type};
use crate::output::OutputFile;
use crate::source::{
    BlobReader, GzipSource, LayerFormat, PlainSource, Recognised, Source, SpanList, ZstdSource,
    recognise,
};
use crate::stop::Stop;
use crate::tar::TarWalker;

/// Pieces of a compressed blob that may be between file, decoder and hasher.
const BLOB_PIECES: usize = 8;
/// Size of those pieces.
const BLOB_PIECE_BYTES: usize = 256 << 10;

/// What all layers share.
pub(super) struct Shared<'a> {
    pub(super) options: &'a PackOptions,
    pub(super) plain_pool: &'a BufferPool,
    pub(super) stored_pool: &'a BufferPool,
    pub(super) tasks: &'a Sender<Task>,
}

/// What one pass over the source gave.
struct Pass {
    spans: SpanList,
    collected: Collected,
    plain: Hashed,
    /// Of the source blob, where that is not the plain stream.
    source: Option<Hashed>,
}

pub(super) fn run_layer(
    shared: &Shared<'_>,
    job: &LayerJob,
    done_bytes: &AtomicU64,
    stop: &Stop,
) -> Result<LayerReport, IndexError> {
    let codec = codec_of(&job.media_type)?;
    let source = expect::open_source(job)?;
    let mut index = IndexWriter::create(&job.index)?;
    let blob = match &job.action {
        Action::Keep => None,
        Action::Pack { encoding, output } => Some(Blob {
            output: OutputFile::create(output)?,
            encoding: *encoding,
        }),
    };
    let limits = &shared.options.limits;
    let mut walker = TarWalker::new(limits.clone(), u64::from(shared.options.chunk_bytes));
    let pass = Pass::run(
        shared,
        job,
        codec,
        source,
        blob,
        &mut walker,
        &mut index,
        done_bytes,
        stop,
    )
    .map_err(|error| expect::explain(job, error, stop))?;
    stop.check()?;
    expect::check(job, pass.source.unwrap_or(pass.plain), pass.plain)?;
    let recognised = match &job.action {
        Action::Keep => recognise(codec, &job.source, &pass.spans, limits),
        Action::Pack { encoding, .. } => Recognised {
            format: LayerFormat::of(encoding.codec()),
            ignored_seek_table: false,
        },
    };
    let (table, output) = pass.into_table(job, codec, shared.options.chunk_bytes);
    let report = report_of(&table, &walker, recognised);
    index.finish(&table, walker.warnings())?;
    if let Some(output) = output {
        output.keep();
    }
    Ok(report)
}

impl Pass {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one layer, joined here and nowhere else"
    )]
    fn run(
        shared: &Shared<'_>,
        job: &LayerJob,
        codec: Codec,
        source: File,
        blob: Option<Blob>,
        walker: &mut TarWalker,
        index: &mut IndexWriter,
        done_bytes: &AtomicU64,
        stop: &Stop,
    ) -> Result<Self, IndexError> {
        let limits = &shared.options.limits;
        let encode = match blob.as_ref().map(|blob| blob.encoding) {
            None | Some(Encoding::Plain) => None,
            Some(encoding) => Some((encoding, shared.stored_pool)),
        };
        thread::scope(|scope| {
            let (hasher, plain_pieces) = unbounded::<Arc<Piece>>();
            let plain_hasher = scope.spawn(move || hash_stream(&plain_pieces));
            let (blob_sender, blob_pieces) = bounded::<Arc<Piece>>(BLOB_PIECES);
            let blob_hasher = scope.spawn(move || hash_stream(&blob_pieces));
            let (reply, done) = unbounded();
            let collector_stop = stop.clone();
            let collector = scope.spawn(move || {
                let collected = collect(&done, blob);
                if collected.is_err() {
                    collector_stop.raise();
                }
                collected
            });
            let spans =
                source_of(codec, source, job, limits, blob_sender, stop).and_then(|mut source| {
                    Feeder {
                        source: &mut *source,
                        walker,
                        index,
                        limits,
                        plain_pool: shared.plain_pool,
                        encode,
                        tasks: shared.tasks,
                        reply,
                        hasher,
                        done_bytes,
                        stop,
                    }
                    .run()?;
                    Ok(source.spans())
                });
            let collected = join(collector)?;
            let (plain, source) = (join(plain_hasher)?, join(blob_hasher)?);
            // the collector's error is why the feeder was stopped, when it was
            let collected = match (&spans, collected) {
                (Err(error), Ok(_)) | (Err(error), Err(IndexError::Canceled))
                    if !matches!(error, IndexError::Canceled) =>
                {
                    return Err(spans.err().unwrap_or(IndexError::Canceled));
                }
                (_, collected) => collected?,
            };
            Ok(Self {
                spans: spans?,
                collected,
                plain,
                source: (codec != Codec::Plain).then_some(source),
            })
        })
    }

    fn into_table(
        self,
        job: &LayerJob,
        codec: Codec,
        chunk_bytes: u32,
    ) -> (LayerTable, Option<OutputFile>) {
        let Collected {
            blob,
            blob_bytes,
            first_span,
            spans,
            chunks,
        } = self.collected;
        let table = |digest, media_type: &str, codec, blob_bytes, first_span, spans: Vec<Span>| {
            LayerTable {
                digest,
                diff_id: self.plain.digest,
                blob_bytes,
                plain_bytes: self.plain.bytes,
                codec,
                kind: RecordKind::Layer,
                media_type: media_type.to_owned(),
                chunk_bytes,
                first_span,
                spans,
                chunks,
                seek: None,
            }
        };
        match (blob, &job.action) {
            (Some((output, digest)), Action::Pack { encoding, .. }) => {
                let codec = encoding.codec();
                let digest = digest.unwrap_or(self.plain.digest);
                let table = table(
                    digest,
                    packed_media_type(codec),
                    codec,
                    blob_bytes,
                    first_span,
                    spans,
                );
                (table, Some(output))
            }
            _ => {
                let source = self.source.unwrap_or(self.plain);
                let (first, spans) = match codec {
                    Codec::Plain => (0, spans),
                    Codec::Gzip | Codec::Zstd => (self.spans.first, self.spans.spans),
                };
                (
                    table(
                        source.digest,
                        &job.media_type,
                        codec,
                        source.bytes,
                        first,
                        spans,
                    ),
                    None,
                )
            }
        }
    }
}

fn source_of(
    codec: Codec,
    file: File,
    job: &LayerJob,
    limits: &Limits,
    hasher: Sender<Arc<Piece>>,
    stop: &Stop,
) -> Result<Box<dyn Source>, IndexError> {
    let name = job.source.display().to_string();
    if codec == Codec::Plain {
        return Ok(Box::new(PlainSource::new(file, name)));
    }
    let pool = BufferPool::new(BLOB_PIECES + 2, BLOB_PIECE_BYTES);
    let blob = BlobReader::new(file, name, pool, hasher, stop.clone());
    Ok(match codec {
        Codec::Gzip => Box::new(GzipSource::new(blob, limits.clone())),
        _ => Box::new(ZstdSource::new(blob, limits.clone())?),
    })
}

fn report_of(table: &LayerTable, walker: &TarWalker, recognised: Recognised) -> LayerReport {
    LayerReport {
        digest: table.digest,
        diff_id: table.diff_id,
        media_type: table.media_type.clone(),
        size_bytes: table.blob_bytes,
        plain_bytes: table.plain_bytes,
        entries: walker.entries(),
        chunks: table.chunks.len() as u64,
        spans: table.spans.len() as u64,
        is_seekable: table.spans.len() > 1 || table.chunks.len() <= 1,
        recognised,
        warnings: walker.warnings(),
    }
}

fn join<T>(handle: ScopedJoinHandle<'_, T>) -> Result<T, IndexError> {
    handle
        .join()
        .map_err(|_| IndexError::Internal("a thread panicked".to_owned()))
}
