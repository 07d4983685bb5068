//! One blob, several ways to it: each mount that has the layer brings its own registry and login.

use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::right::Right;
use crate::limit::Gate;
use crate::link::Link;
use crate::source::{Blob, BlobSource, FetchError, FetchKind};

/// The sources of a layer by the mount that brought them. The one of the mount that asked last is asked first; where it is
/// refused, the others are.
#[derive(Debug, Default)]
pub(super) struct SharedSource {
    sources: Mutex<Vec<(String, Arc<Right>)>>,
}

impl SharedSource {
    pub(super) fn add(&self, mount: &str, right: Arc<Right>) {
        let mut sources = self.lock();
        sources.retain(|(other, _)| other != mount);
        sources.push((mount.to_owned(), right));
    }

    /// Whether a mount may have what the mounts here have, and they what it brings.
    pub(super) fn may_join(&self, right: &Right) -> bool {
        let rights = self.rights();
        rights.iter().all(|other| other.is_of_same_login(right))
            || right.is_proven() && rights.iter().all(|other| other.is_proven())
    }

    /// Those of other logins.
    pub(super) fn others_than(&self, right: &Right) -> Vec<Arc<Right>> {
        let mut rights = self.rights();
        rights.retain(|other| !other.is_of_same_login(right));
        rights
    }

    fn rights(&self) -> Vec<Arc<Right>> {
        let sources = self.lock();
        sources.iter().map(|(_, right)| Arc::clone(right)).collect()
    }

    /// Takes a mount's source away; true when it was the last one.
    pub(super) fn remove(&self, mount: &str) -> bool {
        let mut sources = self.lock();
        sources.retain(|(other, _)| other != mount);
        sources.is_empty()
    }

    /// What is fetched now is fetched for this mount.
    pub(super) fn prefer(&self, mount: &str) {
        let mut sources = self.lock();
        if let Some(index) = sources.iter().position(|(other, _)| other == mount) {
            sources.swap(0, index);
        }
    }

    /// How many mounts have the layer.
    pub(super) fn mounts(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, Arc<Right>)>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlobSource for SharedSource {
    fn open(
        self: Arc<Self>,
        blob: &Blob,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, FetchError> {
        let mut refused = None;
        for right in self.rights() {
            let opened = Arc::clone(&right.source).open(blob, range.clone());
            right.learn();
            match opened {
                Err(error) if may_be_elsewhere(error.kind) => refused.get_or_insert(error),
                other => return other,
            };
        }
        Err(refused.unwrap_or_else(|| {
            FetchError::new(FetchKind::Stopped, "no mount has the layer any more")
        }))
    }

    /// Of the mount that is asked for.
    fn gate(&self) -> Option<Arc<Gate>> {
        let first = self.lock().first().map(|(_, right)| Arc::clone(right));
        first?.source.gate()
    }

    fn link(&self) -> Option<Arc<Link>> {
        let first = self.lock().first().map(|(_, right)| Arc::clone(right));
        first?.source.link()
    }

    fn damaged(&self, blob: &Blob) {
        for right in self.rights() {
            right.source.damaged(blob);
        }
    }

    /// All that read through here share pages, so each one's right counts.
    fn may_use_cache(&self, _: &Blob) -> Result<(), FetchError> {
        self.rights().iter().try_for_each(|right| right.prove())
    }
}

/// Whether another registry or login can have what this one has not.
fn may_be_elsewhere(kind: FetchKind) -> bool {
    matches!(
        kind,
        FetchKind::NotFound | FetchKind::Unauthenticated | FetchKind::Denied
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Readers;
    use crate::testing::table_of;

    #[derive(Debug)]
    struct Fake(Result<&'static [u8], FetchKind>);

    impl BlobSource for Fake {
        fn open(
            self: Arc<Self>,
            _: &Blob,
            _: Range<u64>,
        ) -> Result<Box<dyn Read + Send>, FetchError> {
            self.0
                .map(|bytes| Box::new(bytes) as Box<dyn Read + Send>)
                .map_err(|kind| FetchError::new(kind, format!("{kind:?}")))
        }
    }

    fn right(answer: Result<&'static [u8], FetchKind>) -> Arc<Right> {
        let readers = Readers::nowhere();
        let table = table_of(&[1], &[(1, 1)], 0);
        Right::new(&table, Arc::new(Fake(answer)), [0; 32], readers)
    }

    fn read(source: &Arc<SharedSource>) -> Result<String, FetchKind> {
        let blob = Blob {
            digest: [0; 32],
            size: 1,
        };
        let mut text = String::new();
        let mut body = Arc::clone(source)
            .open(&blob, 0..1)
            .map_err(|error| error.kind)?;
        body.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    #[test]
    fn who_asks_is_asked_with_and_the_refused_go_on_with_the_others() {
        let source = Arc::new(SharedSource::default());
        assert_eq!(read(&source), Err(FetchKind::Stopped));
        source.add("a", right(Ok(b"a")));
        source.add("b", right(Ok(b"b")));
        source.add("denied", right(Err(FetchKind::Denied)));
        source.add("down", right(Err(FetchKind::Unavailable)));
        assert_eq!(read(&source), Ok("a".to_owned()));
        source.prefer("b");
        assert_eq!(read(&source), Ok("b".to_owned()));
        source.prefer("denied");
        assert_eq!(read(&source), Ok("a".to_owned()), "another login helps");
        source.prefer("down");
        assert_eq!(
            read(&source),
            Err(FetchKind::Unavailable),
            "not waited for twice"
        );
        assert!(!source.remove("a") && !source.remove("b") && !source.remove("down"));
        assert_eq!(read(&source), Err(FetchKind::Denied));
        assert!(source.remove("denied"));
    }
}
