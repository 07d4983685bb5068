use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, SeekFrom, openat, seek};
use rustix::io::Errno;

use crate::content::{Buffers, Side, data_map};
use crate::entry::{Entry, target, xattrs};
use crate::error::CompareError;
use crate::report::{Difference, Report, printable};

/// Attributes that archives leave out on purpose, because they steer an overlay or belong to one machine.
const LEFT_OUT: [&[u8]; 4] = [
    b"trusted.overlay.",
    b"user.overlay.",
    b"security.selinux",
    b"system.nfs4_acl",
];
/// The value of an attribute is shown up to here.
const SHOWN_BYTES: usize = 64;

/// What is compared and told.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Fields that are passed over: `mtime`, `xattr`, `xattr:user.note`, …
    pub ignore: BTreeSet<String>,
    /// Also compare where files have holes. Not every unpacker makes them.
    pub holes: bool,
    /// How many differences are listed.
    pub limit: usize,
}

/// Compares the tree of an archive (left) with another one.
///
/// # Errors
/// `PATH_NOT_FOUND` when a root is no folder, `IO_FAILED` when anything below cannot be read.
pub fn compare_trees(left: &Path, right: &Path, options: &Options) -> Result<Report, CompareError> {
    let (left_root, right_root) = (open_root(left)?, open_root(right)?);
    let mut walk = Walk {
        options,
        report: Report::default(),
        buffers: Buffers::new(),
        left_names: HashMap::new(),
        right_names: HashMap::new(),
    };
    let pair = Pair {
        left: left_root.as_fd(),
        right: right_root.as_fd(),
        path: b"/",
        name: b".",
    };
    walk.entries(&pair)?;
    Ok(walk.report)
}

fn open_root(path: &Path) -> Result<OwnedFd, CompareError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map_err(|error| match error {
        Errno::NOENT | Errno::NOTDIR => CompareError::NotFound(path.display().to_string()),
        error => CompareError::Io {
            what: format!("open {}", path.display()),
            source: error,
        },
    })
}

/// A name in two folders.
struct Pair<'a> {
    left: BorrowedFd<'a>,
    right: BorrowedFd<'a>,
    path: &'a [u8],
    name: &'a [u8],
}

impl Pair<'_> {
    /// Does the same on both sides; the error names side and path.
    fn both<T>(
        &self,
        what: &str,
        act: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<(T, T), CompareError> {
        let left = act(self.left, self.name).map_err(self.failed(what, Side::Left))?;
        let right = act(self.right, self.name).map_err(self.failed(what, Side::Right))?;
        Ok((left, right))
    }

    fn failed(&self, what: &str, side: Side) -> impl FnOnce(Errno) -> CompareError + use<> {
        let tree = match side {
            Side::Left => "the archive's tree",
            Side::Right => "the other tree",
        };
        CompareError::io(format!("{what} {} in {tree}", printable(self.path)))
    }
}

struct Walk<'a> {
    options: &'a Options,
    report: Report,
    buffers: Buffers,
    /// First path of every file with several names, by device and inode.
    left_names: HashMap<(u64, u64), Vec<u8>>,
    right_names: HashMap<(u64, u64), Vec<u8>>,
}

impl Walk<'_> {
    fn entries(&mut self, pair: &Pair<'_>) -> Result<(), CompareError> {
        let (left, right) = pair.both("look at", Entry::look)?;
        self.report.entries += 1;
        if left.file_type != right.file_type {
            self.told(pair.path, "type", left.type_name(), right.type_name());
            return Ok(());
        }
        self.attributes(pair.path, &left, &right);
        self.extended(pair)?;
        match left.file_type {
            FileType::Directory => self.folder(pair),
            FileType::RegularFile => {
                let first = self.names(pair.path, &left, &right);
                self.file(pair, &left, &right, first)
            }
            FileType::Symlink => {
                self.names(pair.path, &left, &right);
                let (a, b) = pair.both("read the link", target)?;
                self.same(pair.path, "target", &a, &b, |bytes| printable(bytes));
                Ok(())
            }
            _ => {
                self.names(pair.path, &left, &right);
                Ok(())
            }
        }
    }

    fn attributes(&mut self, path: &[u8], left: &Entry, right: &Entry) {
        let (a, b) = (&left.stat, &right.stat);
        self.same(
            path,
            "mode",
            &(a.st_mode & 0o7777),
            &(b.st_mode & 0o7777),
            |mode| format!("{mode:04o}"),
        );
        self.same(path, "uid", &a.st_uid, &b.st_uid, u32::to_string);
        self.same(path, "gid", &a.st_gid, &b.st_gid, u32::to_string);
        if left.is(FileType::RegularFile) || left.is(FileType::Symlink) {
            self.same(path, "size", &a.st_size, &b.st_size, i64::to_string);
        }
        if left.is(FileType::CharacterDevice) || left.is(FileType::BlockDevice) {
            self.same(path, "device", &a.st_rdev, &b.st_rdev, |device| {
                format!(
                    "{}:{}",
                    rustix::fs::major(*device),
                    rustix::fs::minor(*device)
                )
            });
        }
        let times = ((a.st_mtime, a.st_mtime_nsec), (b.st_mtime, b.st_mtime_nsec));
        let folder = left.is(FileType::Directory);
        // Nobody promises the time of the root, nor of a folder that no layer described: that one is made with time 0.
        if !(folder && (path == b"/" || times.0 == (0, 0))) {
            let field = if folder { "dirtime" } else { "mtime" };
            self.same(path, field, &times.0, &times.1, |(seconds, nanos)| {
                format!("{seconds}.{nanos:09}")
            });
        }
        // A filesystem that does not count sub-folders says 1 (btrfs, overlayfs, and ext4 beyond 65000).
        if !folder || (a.st_nlink > 1 && b.st_nlink > 1) {
            self.same(path, "nlink", &a.st_nlink, &b.st_nlink, ToString::to_string);
        }
    }

    fn extended(&mut self, pair: &Pair<'_>) -> Result<(), CompareError> {
        if self.options.ignore.contains("xattr") {
            return Ok(());
        }
        let (left, right) = pair.both("read the attributes of", xattrs)?;
        let names: BTreeSet<&Vec<u8>> = left.keys().chain(right.keys()).collect();
        for name in names {
            if LEFT_OUT.iter().any(|start| name.starts_with(start)) {
                self.report.left_out += 1;
                continue;
            }
            let (a, b) = (left.get(name), right.get(name));
            if a != b {
                let field = format!("xattr:{}", printable(name));
                self.add(
                    pair.path,
                    field,
                    a.map(|value| shown(value)),
                    b.map(|value| shown(value)),
                );
            }
        }
        Ok(())
    }

    /// Hard links: both sides must know the file by the same first name. True when that name is this one.
    fn names(&mut self, path: &[u8], left: &Entry, right: &Entry) -> bool {
        let first = |names: &mut HashMap<(u64, u64), Vec<u8>>, entry: &Entry| {
            if entry.stat.st_nlink < 2 {
                return path.to_vec();
            }
            let key = (entry.stat.st_dev, entry.stat.st_ino);
            names.entry(key).or_insert_with(|| path.to_vec()).clone()
        };
        let a = first(&mut self.left_names, left);
        let b = first(&mut self.right_names, right);
        self.same(path, "hardlink", &a, &b, |bytes| printable(bytes));
        a == path || b == path
    }

    fn file(
        &mut self,
        pair: &Pair<'_>,
        left: &Entry,
        right: &Entry,
        first_name: bool,
    ) -> Result<(), CompareError> {
        let sized = left.stat.st_size == right.stat.st_size && left.stat.st_size > 0;
        let content = !self.options.ignore.contains("content");
        if !sized || !first_name || !(content || self.options.holes) {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let (a, b) = pair.both("open", |dir, name| openat(dir, name, flags, Mode::empty()))?;
        if self.options.holes {
            let size_bytes = left.stat.st_size.unsigned_abs();
            let maps = (
                data_map(&a, size_bytes).map_err(pair.failed("seek in", Side::Left))?,
                data_map(&b, size_bytes).map_err(pair.failed("seek in", Side::Right))?,
            );
            self.same(pair.path, "holes", &maps.0, &maps.1, |map| {
                format!("data in blocks {map}")
            });
            for (file, side) in [(&a, Side::Left), (&b, Side::Right)] {
                seek(file, SeekFrom::Start(0)).map_err(pair.failed("seek in", side))?;
            }
        }
        if content {
            let alike = &mut self.report.content_bytes;
            let parting = self
                .buffers
                .first_parting(&a, &b, alike)
                .map_err(|(side, error)| pair.failed("read", side)(error))?;
            if let Some(parting) = parting {
                let at = |byte: Option<u8>| {
                    byte.map_or_else(
                        || format!("end at {}", parting.offset),
                        |byte| format!("{byte:#04x} at {}", parting.offset),
                    )
                };
                self.told(pair.path, "content", &at(parting.left), &at(parting.right));
            }
        }
        Ok(())
    }

    fn folder(&mut self, pair: &Pair<'_>) -> Result<(), CompareError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (left, right) =
            pair.both("open", |dir, name| openat(dir, name, flags, Mode::empty()))?;
        let left_names = names_in(left.as_fd()).map_err(pair.failed("list", Side::Left))?;
        let right_names = names_in(right.as_fd()).map_err(pair.failed("list", Side::Right))?;
        let (mut a, mut b) = (left_names.iter().peekable(), right_names.iter().peekable());
        loop {
            let order = match (a.peek(), b.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(x), Some(y)) => x.cmp(y),
            };
            let name = if order == Ordering::Greater {
                b.next()
            } else {
                a.next()
            };
            let Some(name) = name else { return Ok(()) };
            if order == Ordering::Equal {
                b.next();
            }
            let path = below(pair.path, name);
            let inner = Pair {
                left: left.as_fd(),
                right: right.as_fd(),
                path: &path,
                name,
            };
            match order {
                Ordering::Equal => self.entries(&inner)?,
                Ordering::Less => self.alone(&inner, Side::Left)?,
                Ordering::Greater => self.alone(&inner, Side::Right)?,
            }
        }
    }

    /// A name that one tree has; what lies below it is not counted.
    fn alone(&mut self, pair: &Pair<'_>, side: Side) -> Result<(), CompareError> {
        let dir = if side == Side::Left {
            pair.left
        } else {
            pair.right
        };
        let entry = Entry::look(dir, pair.name).map_err(pair.failed("look at", side))?;
        if entry.is_whiteout() {
            self.report.left_out += 1;
            return Ok(());
        }
        let there = Some(entry.type_name().to_owned());
        let (left, right) = if side == Side::Left {
            (there, None)
        } else {
            (None, there)
        };
        self.add(pair.path, "presence".to_owned(), left, right);
        Ok(())
    }

    fn same<T: PartialEq + ?Sized>(
        &mut self,
        path: &[u8],
        field: &str,
        left: &T,
        right: &T,
        show: impl Fn(&T) -> String,
    ) {
        if left != right {
            self.told(path, field, &show(left), &show(right));
        }
    }

    fn told(&mut self, path: &[u8], field: &str, left: &str, right: &str) {
        self.add(
            path,
            field.to_owned(),
            Some(left.to_owned()),
            Some(right.to_owned()),
        );
    }

    fn add(&mut self, path: &[u8], field: String, left: Option<String>, right: Option<String>) {
        if self.options.ignore.contains(&field) {
            return;
        }
        let path = printable(path);
        self.report.add(
            Difference {
                path,
                field,
                left,
                right,
            },
            self.options.limit,
        );
    }
}

fn below(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = folder.to_vec();
    if path != b"/" {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

fn names_in(folder: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn shown(value: &[u8]) -> String {
    let cut = value.get(..SHOWN_BYTES).unwrap_or(value);
    let hex: String = cut.iter().map(|byte| format!("{byte:02x}")).collect();
    let rest = if cut.len() < value.len() {
        format!("… ({} bytes)", value.len())
    } else {
        String::new()
    };
    format!("0x{hex}{rest}")
}
