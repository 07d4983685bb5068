//! All layers of a request: lanes take them one after the other, the pool is shared.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded, unbounded};

use super::encode::encoded_bound;
use super::layer::{Shared, run_layer};
use super::worker::work;
use super::{LayerJob, MAX_BUFFER_BYTES, Observer, Origin, PackOptions};
use crate::buffers::BufferPool;
use crate::error::IndexError;
use crate::stop::Stop;

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// A failure with the layer it happened to.
#[derive(Debug)]
pub struct LayerFailure {
    /// The caller's name for the layer; empty when it was no layer's fault.
    pub id: String,
    /// What happened.
    pub error: IndexError,
}

/// Packs and indexes all layers; large ones begin first. The output does not depend on `jobs`. The first failure stops
/// the rest, and every file that was begun is removed.
///
/// # Errors
/// The first failure with its layer; CANCELED when `stop` was raised.
pub fn pack_layers(
    jobs: &[LayerJob],
    options: &PackOptions,
    observer: &dyn Observer,
    stop: &Stop,
) -> Result<(), LayerFailure> {
    let lanes = options.jobs.max(2).min(jobs.len().max(1));
    let chunk_bytes = usize::try_from(options.chunk_bytes).unwrap_or(usize::MAX);
    let stored_bytes = encoded_bound(chunk_bytes);
    // more lanes than buffers would wait for each other
    let slots = (16 + 8 * options.jobs)
        .min(MAX_BUFFER_BYTES / (chunk_bytes + stored_bytes))
        .max(2 * lanes + 1);
    let plain_pool = BufferPool::new(slots, chunk_bytes);
    let stored_pool = BufferPool::new(slots, stored_bytes);

    let layers: Vec<LayerState<'_>> = jobs.iter().map(LayerState::new).collect();
    let mut order: Vec<&LayerState<'_>> = layers.iter().collect();
    order.sort_by_key(|layer| std::cmp::Reverse(layer.total_bytes));
    let queue = Mutex::new(VecDeque::from(order));
    let failure: Mutex<Option<LayerFailure>> = Mutex::new(None);
    let stop = stop.child();

    thread::scope(|scope| {
        let (tasks, queued_tasks) = unbounded();
        for _ in 0..options.jobs.max(1) {
            let tasks = queued_tasks.clone();
            let level = &options.level;
            scope.spawn(move || work(&tasks, level));
        }
        drop(queued_tasks);
        let (finished, all_finished) = bounded::<()>(0);
        scope.spawn({
            let layers = &layers;
            move || {
                while all_finished.recv_timeout(PROGRESS_INTERVAL) == Err(RecvTimeoutError::Timeout)
                {
                    layers.iter().for_each(|layer| layer.tell(observer));
                }
            }
        });
        for _ in 0..lanes {
            let (queue, failure, stop, tasks, finished) =
                (&queue, &failure, &stop, tasks.clone(), finished.clone());
            let (plain_pool, stored_pool) = (&plain_pool, &stored_pool);
            scope.spawn(move || {
                let _held_until_the_lane_ends = finished;
                let shared = Shared {
                    options,
                    observer,
                    plain_pool,
                    stored_pool,
                    tasks: &tasks,
                };
                while let Some(layer) = next(queue).filter(|_| !stop.is_raised()) {
                    match run_layer(&shared, layer.job, &layer.done_bytes, &stop.child()) {
                        Ok(report) => observer.layer_done(&layer.job.id, &report),
                        Err(error) => {
                            first(failure, layer, error);
                            stop.raise();
                        }
                    }
                }
            });
        }
    });
    if let Some(failure) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(failure);
    }
    stop.check().map_err(|error| LayerFailure {
        id: String::new(),
        error,
    })
}

struct LayerState<'a> {
    job: &'a LayerJob,
    total_bytes: Option<u64>,
    done_bytes: AtomicU64,
    told_bytes: AtomicU64,
}

impl<'a> LayerState<'a> {
    fn new(job: &'a LayerJob) -> Self {
        Self {
            job,
            // a source that is not there is told when it is opened; a pipe has no size
            total_bytes: job.expected_size.or_else(|| {
                let Origin::File(path) = &job.source else {
                    return None;
                };
                let metadata = path.metadata().ok()?;
                metadata.is_file().then_some(metadata.len())
            }),
            done_bytes: AtomicU64::new(0),
            told_bytes: AtomicU64::new(0),
        }
    }

    fn tell(&self, observer: &dyn Observer) {
        let done = self.done_bytes.load(Ordering::Relaxed);
        if self.told_bytes.swap(done, Ordering::Relaxed) != done {
            observer.progress(&self.job.id, done, self.total_bytes);
        }
    }
}

fn next<'a, 'b>(queue: &Mutex<VecDeque<&'a LayerState<'b>>>) -> Option<&'a LayerState<'b>> {
    queue
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop_front()
}

/// Keeps the first failure; that others were canceled because of it is no news.
fn first(failure: &Mutex<Option<LayerFailure>>, layer: &LayerState<'_>, error: IndexError) {
    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
    let is_news = failure
        .as_ref()
        .is_none_or(|known| matches!(known.error, IndexError::Canceled));
    if is_news {
        *failure = Some(LayerFailure {
            id: layer.job.id.clone(),
            error,
        });
    }
}
