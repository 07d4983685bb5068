//! The word "stop", from the caller or from a part that failed, as a flag that every loop looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::IndexError;

/// A flag that is raised once. A child hears its parent, the parent does not hear the child.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    own: Arc<AtomicBool>,
    parents: Vec<Arc<AtomicBool>>,
}

impl Stop {
    /// A flag that is down.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag for a part of the work.
    #[must_use]
    pub fn child(&self) -> Self {
        let mut parents = self.parents.clone();
        parents.push(Arc::clone(&self.own));
        Self {
            own: Arc::default(),
            parents,
        }
    }

    /// Raises the flag.
    pub fn raise(&self) {
        self.own.store(true, Ordering::Release);
    }

    /// The flag itself, for signal handlers.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.own)
    }

    /// Whether this flag or a parent's is up.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.own.load(Ordering::Acquire)
            || self
                .parents
                .iter()
                .any(|parent| parent.load(Ordering::Acquire))
    }

    /// # Errors
    /// CANCELED when the flag is up.
    pub fn check(&self) -> Result<(), IndexError> {
        if self.is_raised() {
            Err(IndexError::Canceled)
        } else {
            Ok(())
        }
    }
}
