//! Which logins were proven to be allowed to read a cached layer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use archive_format::digest::{Digest, hex, sha256};

use super::open_file;

const KEY_BYTES: usize = 32;

/// A login at a registry and repository, as a keyed digest: the name of a reader on disk, from which nobody learns the login.
pub type Reader = Digest;

/// The key that readers of one cache directory are named with.
#[derive(Debug, Clone)]
pub struct ReaderKey([u8; KEY_BYTES]);

impl ReaderKey {
    /// The directory's key, made where there is none. In a directory that cannot be written it is one of this process alone.
    pub(super) fn of(root: &Path) -> Self {
        let path = root.join("key");
        read_key(&path)
            .or_else(|_| make_key(&path))
            .or_else(|_| random().map(Self))
            .unwrap_or(Self([0; KEY_BYTES]))
    }

    /// Names a login. Fields are told apart by their lengths.
    #[must_use]
    pub fn name(&self, fields: &[&str]) -> Reader {
        let mut bytes = self.0.to_vec();
        for field in fields {
            bytes.extend((field.len() as u64).to_le_bytes());
            bytes.extend(field.as_bytes());
        }
        let mut outer = self.0.to_vec();
        outer.extend(sha256(&bytes));
        sha256(&outer)
    }
}

fn read_key(path: &Path) -> io::Result<ReaderKey> {
    let mut key = [0; KEY_BYTES];
    File::open(path)?.read_exact(&mut key)?;
    Ok(ReaderKey(key))
}

/// Whole or not at all: whoever links it first has made it.
fn make_key(path: &Path) -> io::Result<ReaderKey> {
    // A name that nobody else takes, in this process or another: mounts side by side may all find that there is no key.
    let temporary = path.with_extension(hex(&random()?));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&random()?)?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read_key(path),
    }
}

fn random() -> io::Result<[u8; KEY_BYTES]> {
    let mut bytes = [0; KEY_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The readers of one layer: 32 bytes each, only ever appended. They go with the layer.
#[derive(Debug, Clone)]
pub struct Readers(PathBuf);

impl Readers {
    pub(super) fn of(directory: &Path) -> Self {
        Self(directory.join("readers"))
    }

    /// Of a layer without a directory.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self(PathBuf::from("/dev/null/readers"))
    }

    /// Whether a login was proven to be one before, by whatever process.
    #[must_use]
    pub fn has(&self, reader: &Reader) -> bool {
        fs::read(&self.0).is_ok_and(|all| all.chunks_exact(reader.len()).any(|one| one == reader))
    }

    /// Notes one. Where that fails it is proven again the next time.
    pub fn add(&self, reader: &Reader) {
        if self.has(reader) {
            return;
        }
        // Under a lock: what a process that died left over is cut off, and entries keep their places.
        let added = open_file(&self.0).and_then(|mut file| {
            use std::io::{Seek, SeekFrom};
            file.lock()?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length - length % reader.len() as u64))?;
            file.write_all(reader)
        });
        if let Err(error) = added {
            tracing::debug!(%error, "a login's right to a cached layer is not noted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_named_by_all_of_their_fields_and_the_directory() {
        let [one, two] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let key = ReaderKey::of(one.path());
        assert_eq!(
            key.name(&["a", "bc"]),
            ReaderKey::of(one.path()).name(&["a", "bc"])
        );
        assert_ne!(key.name(&["a", "bc"]), key.name(&["ab", "c"]));
        assert_ne!(
            key.name(&["a"]),
            ReaderKey::of(two.path()).name(&["a"]),
            "nothing is learnt from another directory"
        );
    }

    #[test]
    fn whoever_comes_first_all_have_one_key() {
        for _ in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let names: Vec<_> = std::thread::scope(|scope| {
                let makers = [(); 8].map(|()| scope.spawn(|| ReaderKey::of(directory.path())));
                makers
                    .map(|maker| maker.join().unwrap().name(&["a"]))
                    .into()
            });
            assert!(names.iter().all(|name| *name == names[0]));
            let left = fs::read_dir(directory.path()).unwrap().count();
            assert_eq!(left, 1, "the key alone");
        }
    }

    #[test]
    fn a_torn_entry_names_nobody_and_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let readers = Readers::of(directory.path());
        readers.add(&[1; 32]);
        let mut all = fs::read(directory.path().join("readers")).unwrap();
        all.extend([2; 20]);
        fs::write(directory.path().join("readers"), all).unwrap();
        readers.add(&[3; 32]);
        assert!(readers.has(&[1; 32]) && readers.has(&[3; 32]) && !readers.has(&[2; 32]));
    }
}
