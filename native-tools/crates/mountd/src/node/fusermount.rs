//! Mounting without privilege: the setuid program fusermount3 mounts and hands over the FUSE device.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use sys::fuse::FuseDevice;
use sys::mount::Unmount;
use sys::pass::receive_descriptor;

use crate::error::Error;

const PROGRAM: &str = "fusermount3";
/// Where the administrator allows users to show their mounts to others (mount.fuse3(8)).
const CONFIGURATION: &str = "/etc/fuse.conf";
/// fusermount3 adds `nosuid` and `nodev` for users anyway; the permissions are left to the kernel.
const OPTIONS: &str = "ro,nosuid,nodev,default_permissions,fsname=clipyard,subtype=clipyard";

/// Mounts at a directory of the caller's. The mount is visible at once and waits for whoever answers on the device.
pub(super) fn mount(directory: &Path) -> Result<FuseDevice, Error> {
    let failed = |error: io::Error| Error::io_at("talk to fusermount3 for", directory, error);
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let options = match std::fs::read_to_string(CONFIGURATION) {
        Ok(text) if allows_others(&text) => format!("{OPTIONS},allow_other"),
        _ => OPTIONS.to_owned(),
    };
    // The socket is its stdin, so that no other child of ours can inherit it.
    let mut child = Command::new(PROGRAM)
        .args(["-o", &options, "--"])
        .arg(directory)
        .env("_FUSE_COMMFD", "0")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(not_there)?;
    let received = receive_descriptor(&ours).map_err(failed)?;
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        let _ = stderr.read_to_string(&mut said);
    }
    let status = child.wait().map_err(failed)?;
    match received {
        Some(descriptor) if status.success() => Ok(FuseDevice::from_fd(descriptor)),
        // It opens the device as the user.
        _ if said.contains("/dev/fuse") => Err(Error::Fuse(io::Error::other(format!(
            "{}; users need access to the device, which udev gives them (mode 0666)",
            words(&said, &status.to_string())
        )))),
        _ => Err(Error::Fusermount(words(&said, &status.to_string()))),
    }
}

/// Unmounts what [`mount`] mounted. `EBUSY` is told apart, as [`sys::mount::unmount`] does.
pub(super) fn unmount(directory: &Path, how: Unmount) -> Result<(), UnmountError> {
    let mut command = Command::new(PROGRAM);
    command.args(["-u", "-q"]);
    if how == Unmount::Lazily {
        command.arg("-z");
    }
    // Its messages are compared below.
    let output = command
        .arg("--")
        .arg(directory)
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| UnmountError::Refused(not_there(error)))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("busy") {
        return Err(UnmountError::Busy);
    }
    let said = words(&said, &output.status.to_string());
    Err(UnmountError::Refused(Error::Fusermount(said)))
}

/// Why a mount stays.
pub(super) enum UnmountError {
    /// Somebody uses it.
    Busy,
    /// Anything else.
    Refused(Error),
}

fn not_there(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        return Error::Fuse(io::Error::other(
            "mounting without CAP_SYS_ADMIN takes the program fusermount3 (package fuse3)",
        ));
    }
    Error::Fusermount(error.to_string())
}

fn words(said: &str, otherwise: &str) -> String {
    let said = said.trim().trim_start_matches("fusermount3: ");
    if said.is_empty() { otherwise } else { said }.to_owned()
}

fn allows_others(configuration: &str) -> bool {
    configuration
        .lines()
        .any(|line| line.trim() == "user_allow_other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_let_in_only_where_the_administrator_says_so() {
        assert!(allows_others("# x\nmount_max = 9\n user_allow_other\n"));
        assert!(!allows_others("#user_allow_other\nuser_allow_otherwise\n"));
    }
}
