//! One fetch of a chunk, shared by all that want it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::source::FetchError;

/// How a flight ended.
pub(super) type Landed = Result<Arc<Vec<u8>>, FetchError>;

/// A chunk that is being had.
#[derive(Debug, Default)]
pub(super) struct Flight {
    landed: Mutex<Option<Landed>>,
    changed: Condvar,
}

impl Flight {
    /// Waits for the end. The fetch behind it has a deadline, so the wait ends.
    pub(super) fn wait(&self) -> Landed {
        let mut landed = self.landed.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(result) = landed.as_ref() {
                return result.clone();
            }
            landed = self
                .changed
                .wait(landed)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends it; the first word counts.
    pub(super) fn land(&self, result: Landed) {
        let mut landed = self.landed.lock().unwrap_or_else(PoisonError::into_inner);
        landed.get_or_insert(result);
        self.changed.notify_all();
    }
}
