//! How long ago something was used, as far as clocks tell.

use std::time::{Duration, SystemTime};

/// What the clocks of a machine and its file server may differ by.
const SKEW: Duration = Duration::from_secs(60);

/// When something was used. A time to come was written by a clock that was wrong then, or is now: as nobody knows when that
/// was, it counts as longest ago. Otherwise what a clock in the future left would outlive everything that came after it.
pub(super) fn believed(used: SystemTime, now: SystemTime) -> SystemTime {
    let is_to_come = used.duration_since(now).is_ok_and(|ahead| ahead > SKEW);
    if is_to_come {
        return SystemTime::UNIX_EPOCH;
    }
    used
}

/// Whether something was used longer ago than this.
pub(super) fn is_older(used: SystemTime, age: Duration) -> bool {
    let now = SystemTime::now();
    let since = now.duration_since(believed(used, now));
    since.is_ok_and(|since| since > age)
}
