//! Mounts a metadata image with the kernel and compares what it shows with the tree that was written.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use archive_format::erofs::write_image;
use archive_format::model::*;
use rustix::fs::{lgetxattr, llistxattr};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use crate::support::Builder;

/// A mount that no path leads to: it ends with its descriptor, so that nothing can stay behind.
#[derive(Debug)]
pub(crate) struct Mounted {
    root: OwnedFd,
    _files: tempfile::TempDir,
}

impl Mounted {
    /// The folder that shows the mount.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/.", self.root.as_raw_fd()))
    }
}

/// Writes image and devices to files and mounts them. Needs root and a kernel with EROFS; says so when they are missing.
pub(crate) fn mount(builder: &Builder) -> Mounted {
    let bytes = write_image(&builder.image, &builder.device_rows()).unwrap();
    // The target folder is on a real filesystem, which file-backed mounts need; a system's temporary folder may be tmpfs.
    let files = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let source = files.path().join("meta.erofs");
    fs::write(&source, bytes).unwrap();
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)
        .expect("fsopen(erofs): needs root and a kernel with EROFS");
    fsconfig_set_string(&context, "source", &source).unwrap();
    for (index, device) in builder.devices.iter().enumerate() {
        let path = files.path().join(format!("{index}.tar"));
        let mut rounded = device.clone();
        rounded.resize(device.len().next_multiple_of(512), 0);
        fs::write(&path, rounded).unwrap();
        fsconfig_set_string(&context, "device", &path).unwrap();
    }
    fsconfig_create(&context).expect("the kernel refused the image");
    let flags = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).unwrap();
    Mounted {
        root,
        _files: files,
    }
}

/// Mounts and compares everything.
pub(crate) fn check(builder: &Builder) {
    let mounted = mount(builder);
    let mut seen = BTreeMap::new();
    compare(builder, 0, &mounted.path(), &mut seen);
    let reachable = seen
        .values()
        .collect::<std::collections::BTreeSet<_>>()
        .len();
    assert_eq!(seen.len(), reachable, "two inodes share a number");
}

/// `seen` maps our inodes to the kernel's numbers: hard links must share one.
fn compare(builder: &Builder, id: InodeId, path: &Path, seen: &mut BTreeMap<InodeId, u64>) {
    let inode = &builder.image.inodes[id as usize];
    let found =
        fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(
        *seen.entry(id).or_insert(found.ino()),
        found.ino(),
        "{}",
        path.display()
    );
    let wanted = (
        u32::from(inode.permissions),
        inode.uid,
        inode.gid,
        inode.mtime.seconds,
        i64::from(inode.mtime.nanos),
    );
    let have = (
        found.mode() & 0o7777,
        found.uid(),
        found.gid(),
        found.mtime(),
        found.mtime_nsec(),
    );
    assert_eq!(have, wanted, "{}", path.display());
    assert_eq!(xattrs(path), inode.xattrs, "{}", path.display());
    assert_eq!(found.nlink(), links(builder, id), "{}", path.display());
    let file_type = found.file_type();
    match &inode.kind {
        Kind::Directory { children } => {
            let mut names: Vec<Vec<u8>> = fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_vec())
                .collect();
            names.sort();
            assert!(
                names.iter().eq(children.keys()),
                "{}: {} names",
                path.display(),
                names.len()
            );
            for (name, child) in children {
                compare(
                    builder,
                    *child,
                    &path.join(std::ffi::OsString::from_vec(name.clone())),
                    seen,
                );
            }
        }
        Kind::Regular(file) => {
            let mut bytes = Vec::new();
            fs::File::open(path)
                .unwrap()
                .read_to_end(&mut bytes)
                .unwrap();
            assert_eq!(found.len(), file.size, "{}", path.display());
            assert!(
                bytes == builder.content(file),
                "{}: other bytes",
                path.display()
            );
        }
        Kind::Symlink { target } => {
            let read = fs::read_link(path).unwrap().into_os_string().into_vec();
            assert!(
                read == *target,
                "{}: {} bytes of target",
                path.display(),
                read.len()
            );
        }
        Kind::CharDevice(device) | Kind::BlockDevice(device) => {
            assert_eq!(
                file_type.is_char_device(),
                matches!(inode.kind, Kind::CharDevice(_))
            );
            let (major, minor) = (
                rustix::fs::major(found.rdev()),
                rustix::fs::minor(found.rdev()),
            );
            assert_eq!(
                (major, minor),
                (device.major, device.minor),
                "{}",
                path.display()
            );
        }
        Kind::Fifo => assert!(file_type.is_fifo()),
        Kind::Socket => assert!(file_type.is_socket()),
    }
}

fn links(builder: &Builder, id: InodeId) -> u64 {
    let inode = &builder.image.inodes[id as usize];
    let names = |inode: &Inode, wanted: &dyn Fn(InodeId) -> bool| match &inode.kind {
        Kind::Directory { children } => {
            children.values().filter(|child| wanted(**child)).count() as u64
        }
        _ => 0,
    };
    let is_directory = |child: InodeId| {
        matches!(
            builder.image.inodes[child as usize].kind,
            Kind::Directory { .. }
        )
    };
    match inode.kind {
        Kind::Directory { .. } => 2 + names(inode, &is_directory),
        _ => builder
            .image
            .inodes
            .iter()
            .map(|folder| names(folder, &|child| child == id))
            .sum(),
    }
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0; 1 << 16];
    let length = llistxattr(path, &mut list).unwrap();
    list[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let length = lgetxattr(path, name, &mut value).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect()
}
