//! Threads for requests that must wait: made when none is idle, ended when idle for a while, bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// More reads than this are not answered at once; the rest wait in line. The kernel bounds what it asks ahead of need,
/// so this is the number of processes that wait for data at one moment.
const MAX_THREADS: usize = 128;
const IDLE: Duration = Duration::from_secs(10);
/// The read path keeps its buffers on the heap.
const STACK_BYTES: usize = 256 << 10;

type Task = Box<dyn FnOnce() + Send>;

/// The pool.
#[derive(Debug, Clone, Default)]
pub(super) struct WaitingRoom {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    threads: usize,
    idle: usize,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WaitingRoom")
    }
}

impl WaitingRoom {
    /// Runs `task` on a thread of the pool. When no thread can be made and none is there, the task runs at once.
    pub(super) fn run(&self, task: impl FnOnce() + Send + 'static) {
        let mut state = self.shared.lock();
        state.tasks.push_back(Box::new(task));
        if state.idle >= state.tasks.len() {
            self.shared.arrived.notify_one();
            return;
        }
        if state.threads >= MAX_THREADS {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let started = thread::Builder::new()
            .name("wait".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || shared.work());
        match started {
            Ok(_) => state.threads += 1,
            Err(_) if state.threads > 0 => (),
            Err(_) => {
                let task = state.tasks.pop_back();
                drop(state);
                if let Some(task) = task {
                    task();
                }
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.tasks.pop_front() {
                drop(state);
                task();
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let (woken, timeout) = self
                .arrived
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.tasks.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn tasks_that_wait_do_not_hold_up_others() {
        let room = WaitingRoom::default();
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let (done, finished) = mpsc::channel();
        for _ in 0..8 {
            let released = Arc::clone(&released);
            let done = done.clone();
            room.run(move || {
                let _ = released.lock().unwrap().recv();
                done.send("waited").unwrap();
            });
        }
        room.run(move || done.send("at once").unwrap());
        assert_eq!(finished.recv().unwrap(), "at once");
        for _ in 0..8 {
            release.send(()).unwrap();
            assert_eq!(finished.recv().unwrap(), "waited");
        }
    }
}
