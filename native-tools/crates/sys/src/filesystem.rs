//! Which filesystem a file lies on.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::fstatfs;

/// Names of the filesystems that a message should name, by magic number (linux/magic.h).
const NAMES: [(u64, &str); 14] = [
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x794c_7630, "overlayfs"),
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse"),
    (0x2fc1_2fc1, "zfs"),
    (0x00c3_6400, "ceph"),
    (0xe0f5_e1e2, "erofs"),
];

/// The name of the filesystem that an open file lies on, or its magic number.
///
/// # Errors
/// The system's.
pub fn name_of(file: impl AsFd) -> io::Result<String> {
    let found = fstatfs(file)?;
    let magic = u64::try_from(found.f_type).unwrap_or_default() & 0xffff_ffff;
    Ok(NAMES.iter().find(|(known, _)| *known == magic).map_or_else(
        || format!("filesystem {magic:#x}"),
        |(_, name)| (*name).to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_memory_lies_on_tmpfs() {
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC)
            .expect("a memory file");
        assert_eq!(name_of(file).unwrap(), "tmpfs");
    }
}
