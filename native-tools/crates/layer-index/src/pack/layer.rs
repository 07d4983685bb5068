//! One layer from its source to its blob and index.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::{self, ScopedJoinHandle};

use archive_format::tables::{Codec, LayerTable, RecordKind, Span};
use crossbeam_channel::{Sender, bounded, unbounded};

use super::collect::{Blob, Collected, collect};
use super::expect;
use super::feed::Feeder;
use super::hash::{Hashed, hash_stream};
use super::seek::{Seek, seek_of};
use super::worker::{Task, WindowDone, WindowTask};
use super::{Action, Encoding, LayerJob, LayerReport, Observer, PackOptions};
use crate::buffers::{BufferPool, Piece};
use crate::error::IndexError;
use crate::index_file::IndexWriter;
use crate::limits::Limits;
use crate::media::{codec_of, packed_media_type};
use crate::output::OutputFile;
use crate::source::{
    BlobReader, GzipSource, HeadSink, Input, LayerFormat, PlainSource, PlainStream, Recognised,
    Source, SpanList, Stream, Tail, ZstdSource, recognise,
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
    pub(super) observer: &'a dyn Observer,
    pub(super) plain_pool: &'a BufferPool,
    pub(super) stored_pool: &'a BufferPool,
    pub(super) tasks: &'a Sender<Task>,
}

/// What one pass over the source gave.
struct Pass {
    spans: SpanList,
    tail: Tail,
    seek: Seek,
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
        Action::Keep => recognise(codec, &pass.tail, &pass.spans, limits),
        Action::Pack { encoding, .. } => Recognised {
            format: LayerFormat::of(encoding.codec()),
            ignored_seek_table: false,
        },
    };
    let (table, windows, output) = pass.into_table(job, codec, shared.options.chunk_bytes);
    let report = report_of(&table, &walker, recognised);
    index.finish(&table, &windows, walker.warnings())?;
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
        source: Input,
        blob: Option<Blob>,
        walker: &mut TarWalker,
        index: &mut IndexWriter,
        done_bytes: &AtomicU64,
        stop: &Stop,
    ) -> Result<Self, IndexError> {
        let limits = &shared.options.limits;
        let name = job.source.to_string();
        let encode = match blob.as_ref().map(|blob| blob.encoding) {
            None | Some(Encoding::Plain) => None,
            Some(encoding) => Some((encoding, shared.stored_pool)),
        };
        let rest = rest_of(job, &source)?;
        let is_hashed_apart = codec != Codec::Plain || rest.is_some();
        let observer = shared.observer;
        thread::scope(|scope| {
            let (hasher, plain_pieces) = unbounded::<Arc<Piece>>();
            let plain_hasher = scope.spawn(move || hash_stream(&plain_pieces));
            let (blob_sender, blob_pieces) = bounded::<Arc<Piece>>(BLOB_PIECES);
            let blob_hasher = scope.spawn(move || hash_stream(&blob_pieces));
            let (reply, done) = unbounded();
            let rest_sender = rest.as_ref().map(|_| blob_sender.clone());
            let collector_stop = stop.clone();
            let collector = scope.spawn(move || {
                let collected = collect(&done, blob, &|bytes| observer.written(&job.id, bytes));
                if collected.is_err() {
                    collector_stop.raise();
                }
                collected
            });
            let (windows, made_windows) = unbounded();
            let points = points_of(shared, windows);
            let spans = source_of(codec, source, name, limits, points, blob_sender, stop).and_then(
                |mut source| {
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
                    let tail = source.take_tail();
                    Ok((source.spans(), tail))
                },
            );
            let is_whole = match (&spans, rest, rest_sender) {
                (Err(error), Some(rest), Some(hasher)) if error.blames_bytes() => {
                    hash_rest(rest, job, hasher, stop).is_ok()
                }
                _ => false,
            };
            let collected = join(collector)?;
            let (plain, source) = (join(plain_hasher)?, join(blob_hasher)?);
            // the collector's error is why the feeder was stopped, when it was
            let collected = match (&spans, collected) {
                (Err(error), Ok(_)) | (Err(error), Err(IndexError::Canceled))
                    if !matches!(error, IndexError::Canceled) =>
                {
                    let error = spans.err().unwrap_or(IndexError::Canceled);
                    return Err(if is_whole {
                        expect::explain_stream(job, error, source)
                    } else {
                        error
                    });
                }
                (_, collected) => collected?,
            };
            let (spans, tail) = spans?;
            Ok(Self {
                seek: seek_of(&spans.entrances, made_windows)?,
                spans,
                tail,
                collected,
                plain,
                source: is_hashed_apart.then_some(source),
            })
        })
    }

    fn into_table(
        self,
        job: &LayerJob,
        codec: Codec,
        chunk_bytes: u32,
    ) -> (LayerTable, Vec<u8>, Option<OutputFile>) {
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
                (table, Vec::new(), Some(output))
            }
            _ => {
                let source = self.source.unwrap_or(self.plain);
                let (first, spans) = match codec {
                    Codec::Plain => (0, spans),
                    Codec::Gzip | Codec::Zstd => (self.spans.first, self.spans.spans),
                };
                let mut table = table(
                    source.digest,
                    &job.media_type,
                    codec,
                    source.bytes,
                    first,
                    spans,
                );
                let seek = self.seek;
                table.seek = seek.columns;
                (table, seek.windows, None)
            }
        }
    }
}

/// How far seek points of a gzip layer stand apart, and where what their windows are made of goes.
pub(crate) struct SeekPoints {
    spacing: u64,
    sink: HeadSink,
}

impl SeekPoints {
    pub(super) fn new(spacing: u64, sink: HeadSink) -> Self {
        Self { spacing, sink }
    }

    /// For whoever reads the layer from end to end and keeps no index.
    pub(crate) fn none() -> Self {
        Self {
            spacing: u64::MAX,
            sink: Box::new(|_| Ok(())),
        }
    }
}

/// The pool makes the windows.
fn points_of(shared: &Shared<'_>, windows: Sender<WindowDone>) -> SeekPoints {
    let options = shared.options;
    let tasks = shared.tasks.clone();
    SeekPoints {
        // a member that holds one chunk is never cut: keeping a layer packed here gives the index it had
        spacing: options.seek_bytes.max(u64::from(options.chunk_bytes)),
        sink: Box::new(move |head| {
            let reply = windows.clone();
            tasks
                .send(Task::Window(WindowTask { head, reply }))
                .map_err(|_| IndexError::Canceled)
        }),
    }
}

/// A blob's plain stream; a compressed blob's own bytes go to the hasher as well.
pub(crate) fn source_of(
    codec: Codec,
    input: Input,
    name: String,
    limits: &Limits,
    points: SeekPoints,
    hasher: Sender<Arc<Piece>>,
    stop: &Stop,
) -> Result<Box<dyn Source>, IndexError> {
    let is_stream = matches!(input, Input::Stream(_));
    if codec == Codec::Plain && !is_stream {
        return Ok(Box::new(PlainSource::new(input, name, stop.clone())));
    }
    let pool = BufferPool::new(BLOB_PIECES + 2, BLOB_PIECE_BYTES);
    let blob = BlobReader::new(input, name, pool, hasher, stop.clone());
    Ok(match codec {
        Codec::Plain => Box::new(PlainStream(blob)),
        Codec::Gzip => {
            let SeekPoints { spacing, sink } = points;
            Box::new(GzipSource::new(blob, limits.clone(), spacing, sink)?)
        }
        Codec::Zstd => Box::new(ZstdSource::new(blob, limits.clone())?),
    })
}

/// A second reader of a blob that comes over a socket: for its rest, when the first one stumbles.
fn rest_of(job: &LayerJob, source: &Input) -> Result<Option<Stream>, IndexError> {
    match source {
        Input::File(_) | Input::Planned(_) => Ok(None),
        Input::Stream(stream) => stream
            .rest()
            .map(Some)
            .map_err(|error| IndexError::io(format!("read {}", job.source), error)),
    }
}

/// Hashes what nobody could decode, so that a wrong blob can be told from a bad one.
fn hash_rest(
    rest: Stream,
    job: &LayerJob,
    hasher: Sender<Arc<Piece>>,
    stop: &Stop,
) -> Result<(), IndexError> {
    let pool = BufferPool::new(BLOB_PIECES + 2, BLOB_PIECE_BYTES);
    let name = job.source.to_string();
    let mut reader = BlobReader::new(Input::Stream(rest), name, pool, hasher, stop.clone());
    loop {
        let length = reader.available()?.len();
        if length == 0 {
            return Ok(());
        }
        reader.consume(length);
    }
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
