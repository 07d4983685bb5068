//! Paths inside an image.

use std::collections::VecDeque;

use super::inode::InodeInfo;
use super::read::ErofsReader;
use crate::FormatError;

/// As many symlinks as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// What happens to a symlink that is the last part of a path. Symlinks before it are always followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// It is what is found, as lstat(2) does.
    AllButLast,
    /// It is followed, as stat(2) does.
    All,
}

impl<B: AsRef<[u8]>> ErofsReader<B> {
    /// Finds a path. Absolute targets start at the image's root and `..` never leaves it. `None` when a part does not exist
    /// or is no directory.
    ///
    /// # Errors
    /// LIMIT_EXCEEDED for a circle of symlinks; ARCHIVE_CORRUPT.
    pub fn lookup(&self, path: &[u8], follow: Follow) -> Result<Option<InodeInfo>, FormatError> {
        let mut ahead = parts(path);
        let mut directories = vec![self.root()?];
        let mut links = 0;
        while let Some(part) = ahead.pop_front() {
            if part == b".." {
                if directories.len() > 1 {
                    directories.pop();
                }
                continue;
            }
            let Some(directory) = directories.last() else {
                return Ok(None);
            };
            let Some(found) = self.find(directory, &part)? else {
                return Ok(None);
            };
            let is_last = ahead.is_empty() && !ends_as_directory(path);
            if found.is_symlink() && !(is_last && follow == Follow::AllButLast) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(FormatError::limit(format!(
                        "more than {MAX_LINKS} symlinks in {}",
                        path.escape_ascii()
                    )));
                }
                let target = self.symlink_target(&found)?;
                if target.starts_with(b"/") {
                    directories.truncate(1);
                }
                let mut next = parts(&target);
                next.append(&mut ahead);
                ahead = next;
            } else if found.is_directory() {
                directories.push(found);
            } else if ahead.is_empty() && is_last {
                return Ok(Some(found));
            } else {
                return Ok(None);
            }
        }
        Ok(directories.pop())
    }
}

fn parts(path: &[u8]) -> VecDeque<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

/// `a/` and `a/.` name the directory behind a symlink `a`.
fn ends_as_directory(path: &[u8]) -> bool {
    path.ends_with(b"/") || path.ends_with(b"/.")
}
