//! What is mounted where: `/proc/self/mountinfo` and mount ids.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// A mount as the kernel numbers it; unique among the mounts of the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MountId(u64);

impl MountId {
    /// The number, for another process that goes on with the mount.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The mount that another process numbered.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// A mount and the device number of its filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MountIdentity {
    /// The mount.
    pub id: MountId,
    /// Device number, major and minor.
    pub device: (u32, u32),
}

/// The topmost mount that a path is on.
///
/// # Errors
/// The system's.
pub fn mount_at(path: &Path) -> io::Result<MountIdentity> {
    let found = statx(
        CWD,
        path,
        AtFlags::NO_AUTOMOUNT,
        StatxFlags::MNT_ID | StatxFlags::TYPE,
    )?;
    Ok(MountIdentity {
        id: MountId(found.stx_mnt_id),
        device: (found.stx_dev_major, found.stx_dev_minor),
    })
}

/// The mount that a descriptor of its root belongs to.
///
/// # Errors
/// The system's.
pub fn mount_of(fd: impl AsFd) -> io::Result<MountIdentity> {
    let found = statx(
        fd,
        "",
        AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT,
        StatxFlags::MNT_ID | StatxFlags::TYPE,
    )?;
    Ok(MountIdentity {
        id: MountId(found.stx_mnt_id),
        device: (found.stx_dev_major, found.stx_dev_minor),
    })
}

/// Watches the mounts of this process's namespace.
#[derive(Debug)]
pub struct MountTable {
    file: File,
}

impl MountTable {
    /// Starts watching.
    ///
    /// # Errors
    /// The system's.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            file: File::open("/proc/self/mountinfo")?,
        })
    }

    /// Waits until something was mounted or unmounted, or the time is over. True when something changed.
    ///
    /// # Errors
    /// The system's.
    pub fn wait_for_change(&self, timeout: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.file, PollFlags::PRI)];
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Every mount of the table with its device number.
    ///
    /// # Errors
    /// The system's.
    pub fn all(&mut self) -> io::Result<HashSet<MountIdentity>> {
        let text = self.read()?;
        let identity = |line: &[u8]| {
            let number = |index| std::str::from_utf8(field(line, index)?).ok();
            let (major, minor) = number(2)?.split_once(':')?;
            Some(MountIdentity {
                id: MountId(number(0)?.parse().ok()?),
                device: (major.parse().ok()?, minor.parse().ok()?),
            })
        };
        Ok(text
            .split(|byte| *byte == b'\n')
            .filter_map(identity)
            .collect())
    }

    /// Whether anything is mounted exactly at a path (absolute, without links).
    ///
    /// # Errors
    /// The system's.
    pub fn has_path(&mut self, path: &Path) -> io::Result<bool> {
        let wanted = escape(path.as_os_str().as_bytes());
        Ok(self
            .read()?
            .split(|byte| *byte == b'\n')
            .any(|line| field(line, 4) == Some(wanted.as_slice())))
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.file.rewind()?;
        self.file.read_to_end(&mut text)?;
        Ok(text)
    }
}

fn field(line: &[u8], index: usize) -> Option<&[u8]> {
    line.split(|byte| *byte == b' ').nth(index)
}

/// Space, tab, newline and backslash stand as three octal digits in the table (seq_path).
fn escape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for byte in path {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => out.extend(format!("\\{byte:03o}").bytes()),
            other => out.push(*other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_directory_is_a_mount_that_the_table_holds() {
        let mut table = MountTable::open().unwrap();
        let root = mount_at(Path::new("/")).unwrap();
        let all = table.all().unwrap();
        assert!(all.contains(&root));
        assert!(table.has_path(Path::new("/")).unwrap());
        assert!(!all.contains(&MountIdentity {
            id: MountId::from_number(u64::MAX),
            ..root
        }));
        assert!(!table.has_path(Path::new("/no mount is here")).unwrap());
    }

    #[test]
    fn paths_are_escaped_as_the_kernel_does() {
        assert_eq!(escape(b"/a b\\c\n"), b"/a\\040b\\134c\\012");
    }
}
