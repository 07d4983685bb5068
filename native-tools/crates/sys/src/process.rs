//! What the process itself may do and belongs to.

use rustix::thread::{CapabilitySet, capabilities};

/// Whether mounting is allowed at all (CAP_SYS_ADMIN in effect).
#[must_use]
pub fn may_mount() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Leaves the caller's session, so that its terminal and its end do not concern this process. A process that leads a
/// session or group already stays as it is.
pub fn leave_session() {
    let _ = rustix::process::setsid();
}
