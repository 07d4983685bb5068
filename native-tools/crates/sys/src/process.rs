//! What the process itself may do and belongs to.

use std::fs::File;
use std::io;
use std::os::fd::RawFd;

use rustix::thread::{CapabilitySet, capabilities};

/// Whether mounting is allowed at all (CAP_SYS_ADMIN in effect).
#[must_use]
pub fn may_mount() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// A second handle on a descriptor that the caller of this program left open for it. Opening `/dev/fd/N` does the same for
/// files and pipes, but not for sockets, which is what a Node parent's "pipes" are.
///
/// # Errors
/// EBADF when there is no such descriptor.
pub fn inherited(descriptor: RawFd) -> io::Result<File> {
    let process = rustix::process::pidfd_open(
        rustix::process::getpid(),
        rustix::process::PidfdFlags::empty(),
    )?;
    let copy = rustix::process::pidfd_getfd(
        process,
        descriptor,
        rustix::process::PidfdGetfdFlags::empty(),
    )?;
    Ok(File::from(copy))
}

/// Leaves the caller's session, so that its terminal and its end do not concern this process. A process that leads a
/// session or group already stays as it is.
pub fn leave_session() {
    let _ = rustix::process::setsid();
}

/// Lets this process open as many files as it may at all: each layer in use takes a few.
pub fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let _ = setrlimit(Resource::Nofile, raised);
}

/// Closes every descriptor but stdin, stdout and stderr, for a process that outlives its caller: a pipe that the caller's
/// caller waits on must not stay open with it.
///
/// Call it first of all, before this process has opened anything.
#[expect(
    unsafe_code,
    reason = "closing a descriptor that no object of this process owns"
)]
pub fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<RawFd> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect();
    for descriptor in open {
        // The listing's own descriptor is among them and closed by now.
        if std::fs::symlink_metadata(format!("/proc/self/fd/{descriptor}")).is_ok() {
            // SAFETY: it is open, and nothing in this process owns a descriptor yet, as the caller promises.
            unsafe { rustix::io::close(descriptor) };
        }
    }
}
