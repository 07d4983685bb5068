//! The threads that fetch: what readers wait for first, then what is wanted ahead.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use super::Layer;
use super::job::{Job, Reading};
use super::loose_ends::LooseEnds;
use crate::limit::Bandwidth;

/// TLS and decoders use little stack; their tables are on the heap.
const STACK_BYTES: usize = 1 << 20;

/// How layer data is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchSettings {
    /// Requests in flight to all registries together; at least one.
    pub max_requests: usize,
    /// Bytes of a layer that may lie fetched ahead and unread, in percent of what was read of it (besides its first MiB); 0
    /// for no read-ahead.
    pub ahead_percent: u32,
    /// What may lie so besides over a link with long waits: what is worth so many of them; 0 for nothing.
    pub ahead_waits: u32,
    /// Bytes that requests in flight may hold in memory to decode them. One request always goes on.
    pub memory_bytes: u64,
    /// Bytes a second from all registries together; 0 for any number.
    pub bytes_per_second: u64,
    /// Second requests where an answer is late, in percent of all; 0 for none.
    pub hedge_percent: u32,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self {
            max_requests: 16,
            ahead_percent: 25,
            ahead_waits: 12,
            memory_bytes: 256 << 20,
            bytes_per_second: 0,
            hedge_percent: 3,
        }
    }
}

/// Gives jobs to a fixed number of threads, each of which has at most one request in flight.
#[derive(Debug, Clone)]
pub struct Fetcher {
    shared: Arc<Shared>,
    settings: FetchSettings,
    bandwidth: Arc<Bandwidth>,
    loose_ends: Arc<LooseEnds>,
    /// The threads end when the last handle of the fetcher is gone.
    _alive: Arc<Stop>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    wanted: VecDeque<Job>,
    ahead: VecDeque<Job>,
    ahead_running: usize,
    ahead_most: usize,
    /// What each running job reads.
    running: Vec<Reading>,
    memory: u64,
    memory_most: u64,
    stopped: bool,
}

#[derive(Debug)]
struct Stop(Weak<Shared>);

impl Drop for Stop {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.lock().stopped = true;
            shared.changed.notify_all();
        }
    }
}

impl Fetcher {
    /// Starts a thread for each request that may be in flight.
    ///
    /// # Errors
    /// The system's, when no thread can be made.
    pub fn start(settings: FetchSettings) -> io::Result<Self> {
        let threads = settings.max_requests.max(1);
        let shared = Arc::new(Shared::default());
        // One or two threads stay free for what somebody waits for.
        {
            let mut queue = shared.lock();
            queue.ahead_most = threads.saturating_sub(2).max(1);
            queue.memory_most = settings.memory_bytes;
        }
        for _ in 0..threads {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("fetch".to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || shared.work())?;
        }
        let stop = Stop(Arc::downgrade(&shared));
        Ok(Self {
            shared,
            bandwidth: Bandwidth::new(settings.bytes_per_second),
            loose_ends: Arc::default(),
            settings,
            _alive: Arc::new(stop),
        })
    }

    pub(super) fn bandwidth(&self) -> &Bandwidth {
        &self.bandwidth
    }

    pub(super) fn loose_ends(&self) -> &Arc<LooseEnds> {
        &self.loose_ends
    }

    pub(super) fn settings(&self) -> FetchSettings {
        self.settings
    }

    pub(super) fn submit(&self, job: Job, ahead: bool) {
        let mut queue = self.shared.lock();
        if ahead {
            queue.ahead.push_back(job);
        } else {
            queue.wanted.push_back(job);
        }
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// Takes jobs out of the queue of what is wanted ahead.
    pub(super) fn withdraw(&self, is_given_up: impl Fn(&Job) -> bool) -> VecDeque<Job> {
        let mut queue = self.shared.lock();
        let ahead = std::mem::take(&mut queue.ahead);
        let (withdrawn, left): (VecDeque<_>, VecDeque<_>) =
            ahead.into_iter().partition(is_given_up);
        queue.ahead = left;
        withdrawn
    }

    /// Somebody waits for chunks that may only stand in the queue of what is wanted ahead.
    pub(super) fn promote(&self, layer: &Arc<Layer>, chunks: &Range<u32>) {
        let mut queue = self.shared.lock();
        let overlaps = |job: &Job| {
            let range = job.chunks();
            job.is_of(layer) && range.start < chunks.end && chunks.start < range.end
        };
        while let Some(job) = queue
            .ahead
            .iter()
            .position(overlaps)
            .and_then(|index| queue.ahead.remove(index))
        {
            queue.wanted.push_back(job);
            self.shared.changed.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                return;
            }
            if let Some(Taken {
                job,
                ahead,
                memory,
                reading,
            }) = queue.take()
            {
                drop(queue);
                job.run();
                queue = self.lock();
                if let Some(at) = queue.running.iter().position(|other| *other == reading) {
                    queue.running.swap_remove(at);
                }
                queue.ahead_running -= usize::from(ahead);
                queue.memory -= memory;
                // What stood back for this one may go now, whoever takes it.
                self.changed.notify_all();
                continue;
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Queue {
    /// The next job that its mount and the memory have room for, grown by its neighbours in both queues.
    fn take(&mut self) -> Option<Taken> {
        // One always goes on, however much it takes.
        let room = if self.running.is_empty() {
            u64::MAX
        } else {
            self.memory_most.saturating_sub(self.memory)
        };
        let running = &self.running;
        let (mut job, ahead) = match remove_first(&mut self.wanted, room, running) {
            Some(job) => (job, false),
            None if self.ahead_running < self.ahead_most => {
                (remove_first(&mut self.ahead, room, running)?, true)
            }
            None => return None,
        };
        while let Some(next) = remove_next(&mut self.wanted, &job, room, running)
            .or_else(|| remove_next(&mut self.ahead, &job, room, running))
        {
            job.absorb(next);
        }
        let memory = job.memory_bytes();
        let reading = job.reading();
        self.running.push(reading.clone());
        self.ahead_running += usize::from(ahead);
        self.memory += memory;
        Some(Taken {
            job,
            ahead,
            memory,
            reading,
        })
    }
}

/// A job that a thread works on.
struct Taken {
    job: Job,
    ahead: bool,
    memory: u64,
    reading: Reading,
}

/// The first job that there is room for, without what is being read already: that is not read twice. A job whose first
/// chunk alone begins in such a span goes on without it, and that chunk waits.
fn remove_first(queue: &mut VecDeque<Job>, room: u64, running: &[Reading]) -> Option<Job> {
    for index in 0..queue.len() {
        let Some(job) = queue.get_mut(index) else {
            break;
        };
        if job.memory_bytes() > room {
            continue;
        }
        if is_free(job, running) {
            if job.enter() {
                return queue.remove(index);
            }
        } else if let Some(mut later) = job.split_first() {
            if is_free(&later, running) && later.enter() {
                return Some(later);
            }
            job.absorb(later);
        }
    }
    None
}

fn remove_next(
    queue: &mut VecDeque<Job>,
    job: &Job,
    room: u64,
    running: &[Reading],
) -> Option<Job> {
    let index = queue.iter().position(|later| {
        job.may_absorb(later)
            && later.memory_bytes() <= room
            && job.has_memory_for(later)
            && is_free(later, running)
    })?;
    queue.remove(index)
}

fn is_free(job: &Job, running: &[Reading]) -> bool {
    let reading = job.reading();
    !running.iter().any(|other| reading.overlaps(other))
}
