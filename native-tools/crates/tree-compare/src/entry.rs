use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Stat, lgetxattr, llistxattr, readlinkat, statat};
use rustix::io::Errno;

/// Longest list and longest value that Linux gives (limits.h: `XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const XATTR_BYTES: usize = 65_536;

/// A folder's entry, looked at without following it.
pub(crate) struct Entry {
    pub(crate) stat: Stat,
    pub(crate) file_type: FileType,
}

impl Entry {
    pub(crate) fn look(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Self, Errno> {
        let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Self {
            stat,
            file_type: FileType::from_raw_mode(stat.st_mode),
        })
    }

    pub(crate) fn is(&self, file_type: FileType) -> bool {
        self.file_type == file_type
    }

    /// The mark of a removed name in an overlay: archives do not carry it.
    pub(crate) fn is_whiteout(&self) -> bool {
        self.is(FileType::CharacterDevice) && self.stat.st_rdev == 0
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self.file_type {
            FileType::RegularFile => "file",
            FileType::Directory => "dir",
            FileType::Symlink => "symlink",
            FileType::Fifo => "fifo",
            FileType::Socket => "socket",
            FileType::CharacterDevice => "char",
            FileType::BlockDevice => "block",
            FileType::Unknown => "unknown",
        }
    }
}

pub(crate) fn target(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
    Ok(readlinkat(dir, name, Vec::new())?.into_bytes())
}

/// Every attribute of an entry. A filesystem without attributes has none.
pub(crate) fn xattrs(
    dir: BorrowedFd<'_>,
    name: &[u8],
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Errno> {
    // There is no listxattrat before Linux 6.13; the folder's descriptor keeps the path short whatever its depth.
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    let mut names = vec![0; XATTR_BYTES];
    let length = match llistxattr(path.as_slice(), names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    names.truncate(length);
    let mut found = BTreeMap::new();
    for attribute in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; XATTR_BYTES];
        let length = lgetxattr(path.as_slice(), attribute, value.as_mut_slice())?;
        value.truncate(length);
        found.insert(attribute.to_vec(), value);
    }
    Ok(found)
}
