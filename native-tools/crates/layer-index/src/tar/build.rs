//! From header fields and PAX records to an entry.

use std::collections::BTreeMap;

use archive_format::model::{DeviceNumber, Timestamp};

use super::header::RawHeader;
use super::path::clean_path;
use super::pax::{PaxRecords, decimal, time};
use crate::entry::{Entry, EntryData, EntryKind, Warnings};
use crate::error::IndexError;
use crate::limits::Limits;

/// What the headers before an entry's own said about it.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) pax: PaxRecords,
    pub(crate) long_name: Vec<u8>,
    pub(crate) long_link: Vec<u8>,
}

/// An entry's header with its PAX records and long names merged in.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) header: RawHeader,
    pub(crate) pax: PaxRecords,
    mtime: Timestamp,
}

/// Longest name of one directory entry, and of an attribute, that Linux takes.
const MAX_NAME_BYTES: usize = 255;
/// A file of at most this major and minor number can exist on Linux.
const MAX_DEVICE: (i64, i64) = ((1 << 12) - 1, (1 << 20) - 1);

pub(crate) fn merge(mut header: RawHeader, overrides: Overrides) -> Result<Merged, IndexError> {
    let Overrides {
        pax,
        long_name,
        long_link,
    } = overrides;
    let mut mtime = Timestamp {
        seconds: header.mtime,
        nanos: 0,
    };
    for (key, value) in pax.iter().filter(|(_, value)| !value.is_empty()) {
        let bad = || {
            IndexError::corrupt(format!(
                "PAX record {} has a value that cannot be",
                String::from_utf8_lossy(key)
            ))
        };
        match key.as_slice() {
            b"path" => header.name.clone_from(value),
            b"linkpath" => header.link.clone_from(value),
            b"size" => header.size = decimal(value).ok_or_else(bad)?,
            b"uid" => header.uid = decimal(value).ok_or_else(bad)?,
            b"gid" => header.gid = decimal(value).ok_or_else(bad)?,
            b"mtime" => mtime = time(value).ok_or_else(bad)?,
            b"atime" | b"ctime" => drop(time(value).ok_or_else(bad)?),
            _ => {}
        }
    }
    if !long_name.is_empty() {
        header.name = long_name;
    }
    if !long_link.is_empty() {
        header.link = long_link;
    }
    if header.typeflag == 0 {
        header.typeflag = if header.name.ends_with(b"/") {
            b'5'
        } else {
            b'0'
        };
    }
    Ok(Merged { header, pax, mtime })
}

impl Merged {
    /// Whether the entry's header is followed by `size` bytes: links, devices and folders have none whatever they say.
    pub(crate) fn has_data(&self) -> bool {
        !matches!(self.header.typeflag, b'1'..=b'6')
    }

    /// The entry, with `data` where it is a regular file.
    pub(crate) fn into_entry(
        self,
        data: EntryData,
        limits: &Limits,
        warnings: &mut Warnings,
    ) -> Result<Entry, IndexError> {
        let shown = String::from_utf8_lossy(&self.header.name).into_owned();
        let path = checked_path(&self.header.name, limits)?;
        let device = || -> Result<DeviceNumber, IndexError> {
            let number = |value: i64, max: i64| {
                u32::try_from(value)
                    .ok()
                    .filter(|_| value <= max)
                    .ok_or_else(|| IndexError::corrupt(format!("{shown}: device number {value}")))
            };
            Ok(DeviceNumber {
                major: number(self.header.device_major, MAX_DEVICE.0)?,
                minor: number(self.header.device_minor, MAX_DEVICE.1)?,
            })
        };
        let kind = match self.header.typeflag {
            b'0' | b'7' | b'S' => EntryKind::Regular(data),
            b'1' => EntryKind::HardLink {
                target: checked_path(&self.header.link, limits)?,
            },
            b'2' => EntryKind::Symlink {
                target: checked_target(self.header.link, &shown, limits)?,
            },
            b'3' => EntryKind::CharDevice(device()?),
            b'4' => EntryKind::BlockDevice(device()?),
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            other => {
                return Err(IndexError::corrupt(format!(
                    "{shown}: entry type {:?} is none of a layer",
                    char::from(other)
                )));
            }
        };
        let id = |value: i64| {
            u32::try_from(value).map_err(|_| IndexError::corrupt(format!("{shown}: owner {value}")))
        };
        Ok(Entry {
            uid: id(self.header.uid)?,
            gid: id(self.header.gid)?,
            permissions: u16::try_from(self.header.mode & 0o7777).unwrap_or_default(),
            mtime: self.mtime,
            xattrs: xattrs(&self.pax, &kind, &shown, limits, warnings)?,
            path,
            kind,
        })
    }
}

fn checked_path(raw: &[u8], limits: &Limits) -> Result<Vec<u8>, IndexError> {
    let shown = || String::from_utf8_lossy(raw.get(..200).unwrap_or(raw)).into_owned();
    let path = clean_path(raw);
    if path.contains(&0) {
        return Err(IndexError::PathInvalid(format!(
            "{}: the name holds a NUL",
            shown()
        )));
    }
    if path.len() as u64 > limits.max_path_bytes {
        return Err(IndexError::setting(
            "path-bytes",
            format!("the {} bytes of path {}…", path.len(), shown()),
            limits.max_path_bytes,
        ));
    }
    let (mut depth, mut longest) = (0, 0);
    for name in path.split(|byte| *byte == b'/') {
        depth += 1;
        longest = name.len().max(longest);
    }
    if longest > MAX_NAME_BYTES {
        return Err(IndexError::PathInvalid(format!(
            "{}: a name of more than {MAX_NAME_BYTES} bytes",
            shown()
        )));
    }
    if longest as u64 > limits.max_name_bytes {
        return Err(IndexError::setting(
            "name-bytes",
            format!("{}: a name of {longest} bytes", shown()),
            limits.max_name_bytes,
        ));
    }
    if depth > limits.max_depth {
        return Err(IndexError::setting(
            "depth",
            format!("{}: a path of {depth} names", shown()),
            limits.max_depth,
        ));
    }
    Ok(path)
}

fn checked_target(target: Vec<u8>, shown: &str, limits: &Limits) -> Result<Vec<u8>, IndexError> {
    if target.is_empty() || target.contains(&0) {
        return Err(IndexError::PathInvalid(format!(
            "{shown}: the link's target is empty or holds a NUL"
        )));
    }
    if target.len() as u64 > limits.max_path_bytes {
        return Err(IndexError::setting(
            "path-bytes",
            format!("the {} bytes of {shown}'s link target", target.len()),
            limits.max_path_bytes,
        ));
    }
    Ok(target)
}

const XATTR_KEY: &[u8] = b"SCHILY.xattr.";

fn xattrs(
    pax: &PaxRecords,
    kind: &EntryKind,
    shown: &str,
    limits: &Limits,
    warnings: &mut Warnings,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, IndexError> {
    let mut kept = BTreeMap::new();
    let mut total = 0u64;
    for (key, value) in pax {
        let Some(name) = key.strip_prefix(XATTR_KEY) else {
            continue;
        };
        // an empty record means "as without a record": engines built on Go never see it
        if value.is_empty() || matches!(kind, EntryKind::HardLink { .. }) {
            continue;
        }
        match fate(name, kind) {
            Fate::Overlay => warnings.dropped_overlay_xattrs += 1,
            Fate::Host => warnings.dropped_host_xattrs += 1,
            Fate::Unsupported => warnings.dropped_unsupported_xattrs += 1,
            Fate::Kept => {
                if value.len() as u64 > limits.max_xattr_bytes {
                    let what = format!(
                        "{shown}: the {} bytes of attribute {}",
                        value.len(),
                        String::from_utf8_lossy(name)
                    );
                    return Err(IndexError::setting(
                        "xattr-bytes",
                        what,
                        limits.max_xattr_bytes,
                    ));
                }
                total += (name.len() + value.len()) as u64;
                kept.insert(name.to_vec(), value.clone());
            }
        }
    }
    if total > limits.max_xattrs_bytes {
        return Err(IndexError::setting(
            "xattrs-bytes",
            format!("{shown}: {total} bytes of extended attributes"),
            limits.max_xattrs_bytes,
        ));
    }
    Ok(kept)
}

enum Fate {
    Kept,
    Overlay,
    Host,
    Unsupported,
}

fn fate(name: &[u8], kind: &EntryKind) -> Fate {
    let has = |prefix: &[u8]| name.len() > prefix.len() && name.starts_with(prefix);
    if has(b"trusted.overlay.") || has(b"user.overlay.") {
        return Fate::Overlay;
    }
    if name == b"security.selinux" || name == b"system.nfs4_acl" {
        return Fate::Host;
    }
    let takes_user = matches!(kind, EntryKind::Regular(_) | EntryKind::Directory);
    let supported = has(b"security.")
        || has(b"trusted.")
        || takes_user && has(b"user.")
        || matches!(
            name,
            b"system.posix_acl_access" | b"system.posix_acl_default"
        );
    if supported && name.len() <= MAX_NAME_BYTES {
        Fate::Kept
    } else {
        Fate::Unsupported
    }
}
