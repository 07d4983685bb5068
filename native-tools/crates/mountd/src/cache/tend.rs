//! Keeping a cache within its bounds while it is in use.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::str::FromStr;

use rustix::fs::statvfs;

use super::{Cache, Evicted};

/// What a cache may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes on disk of all layers and archives together; absent: no bound.
    pub most_bytes: Option<u64>,
    /// What the filesystem keeps free; absent: no bound.
    pub least_free: Option<Free>,
}

/// Space that a filesystem keeps free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Free {
    /// So many bytes.
    Bytes(u64),
    /// So much of its size, 0 to 100.
    Percent(u8),
}

impl Free {
    fn of(self, filesystem_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => filesystem_bytes / 100 * u64::from(percent),
        }
    }
}

impl FromStr for Free {
    type Err = ();

    /// `1048576` or `5%`.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Bytes).map_err(|_| ()),
            Some(number) => match number.parse() {
                Ok(percent @ 0..=100) => Ok(Self::Percent(percent)),
                _ => Err(()),
            },
        }
    }
}

impl Display for Free {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// How a cache stands after it was looked after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tended {
    /// What went.
    pub evicted: Evicted,
    /// What is left is still too much, because mounts use it or it is pinned: nothing more is kept until that changes.
    pub is_full: bool,
}

impl Limits {
    /// Whether there is any.
    #[must_use]
    pub fn are_set(&self) -> bool {
        self.most_bytes.is_some() || self.least_free.is_some()
    }
}

impl Cache {
    /// Evicts until the limits hold, and stops keeping chunks where they cannot. Readers notice neither.
    ///
    /// # Errors
    /// The system's.
    pub fn tend(&self, limits: &Limits) -> io::Result<Tended> {
        let held = self.held_bytes()?;
        let short = self.short_of_space(limits)?;
        let keep = held - short.min(held);
        let evicted = self.evict(keep.min(limits.most_bytes.unwrap_or(u64::MAX)), false)?;
        let is_over = limits
            .most_bytes
            .is_some_and(|most| evicted.left_bytes >= most);
        let is_full = is_over || self.short_of_space(limits)? > 0;
        self.set_full(is_full);
        Ok(Tended { evicted, is_full })
    }

    /// Bytes that are missing to what the filesystem keeps free.
    fn short_of_space(&self, limits: &Limits) -> io::Result<u64> {
        let Some(least) = limits.least_free else {
            return Ok(0);
        };
        let space = statvfs(self.root())?;
        let least = least.of(space.f_blocks.saturating_mul(space.f_frsize));
        Ok(least.saturating_sub(space.f_bavail.saturating_mul(space.f_frsize)))
    }
}
