//! The windows of seek points, one by one from the archive's section `seek`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use archive_format::FormatError;
use archive_format::digest::oci;
use archive_format::seek::Window;
use tool_protocol::Coded;

use super::{Layer, Plan};
use crate::source::ArchiveUrl;

/// Section `seek` of an archive. Nothing of it is held in memory: a window is read when a fetch begins at its point, which
/// costs a fraction of what the fetch does, also where that is a request of its own.
#[derive(Debug, Clone)]
pub struct Windows {
    archive: Arc<File>,
    start: u64,
    store: Option<Arc<ArchiveUrl>>,
}

impl Windows {
    /// Of the section that starts at byte `start` of the archive.
    #[must_use]
    pub fn new(archive: Arc<File>, start: u64) -> Self {
        Self {
            archive,
            start,
            store: None,
        }
    }

    /// A file that a mount made of parts of an archive lacks the section: its windows come from the archive itself.
    #[must_use]
    pub fn or_from(self, store: Option<ArchiveUrl>) -> Self {
        Self {
            store: store.map(Arc::new),
            ..self
        }
    }

    fn read(&self, window: &Window) -> Result<Vec<u8>, Unusable> {
        let failed = |error| FormatError::io("reading a window of section seek", error);
        let mut stored = vec![0; window.stored as usize];
        let at = self.start.saturating_add(window.offset);
        let here = self
            .archive
            .read_exact_at(&mut stored, at)
            .map_err(failed)
            .and_then(|()| window.decode(&stored));
        match (here, &self.store) {
            (Err(_), Some(store)) => {
                let stored = store.read(at, window.stored)?;
                Ok(window.decode(&stored)?)
            }
            (here, _) => Ok(here?),
        }
    }
}

/// Why there is no window: a window that is wrong is told from a store that does not give it.
#[derive(Debug, PartialEq, Eq)]
struct Unusable {
    code: &'static str,
    why: String,
}

impl<E: Coded + std::fmt::Display> From<E> for Unusable {
    fn from(error: E) -> Self {
        Self {
            code: error.code(),
            why: error.to_string(),
        }
    }
}

impl Layer {
    /// What a plan's first span continues from. Where that window is damaged or was never fetched, the plan begins at the
    /// last good point before it: more bytes, but right ones.
    pub(super) fn enter(&self, plan: Plan) -> (Plan, Vec<u8>) {
        let Some(seek) = &self.table.seek else {
            return (plan, Vec::new());
        };
        for first in (0..=plan.spans.start).rev() {
            let entered = match seek.window(first) {
                None => Ok(Vec::new()),
                Some(window) => self.windows.read(&window),
            };
            match entered {
                Ok(window) if first == plan.spans.start => return (plan, window),
                Ok(window) => return (self.geometry.plan_of(first..plan.spans.end), window),
                Err(error) => self.window_failed(first, &error),
            }
        }
        (self.geometry.plan_of(0..plan.spans.end), Vec::new())
    }

    fn window_failed(&self, span: usize, error: &Unusable) {
        let Unusable { code, why } = error;
        tracing::warn!(
            code,
            span,
            layer = oci(&self.table.diff_id),
            why,
            "a seek window cannot be used; reading from the point before it"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::server::Server;
    use crate::testing::tls::{Flaw, TlsServer};

    #[test]
    fn a_store_that_is_not_believed_is_told_from_a_window_that_is_wrong() {
        let archive = Arc::new(tempfile::tempfile().unwrap());
        let window = Window {
            offset: 0,
            stored: 100,
            digest: [0; 32],
        };
        let code_at = |url: &str| {
            let url = ArchiveUrl::new(url, None, Duration::from_secs(5)).unwrap();
            let windows = Windows::new(Arc::clone(&archive), 0).or_from(Some(url));
            windows.read(&window).unwrap_err().code
        };
        let server = Server::start();
        let tls = TlsServer::start(&server.url, Flaw::None);
        assert_eq!(code_at(&format!("{}/archive", tls.url)), "TLS_UNTRUSTED");
        assert_eq!(
            code_at("http://127.0.0.1:1/archive"),
            "REGISTRY_UNAVAILABLE"
        );
        let name = format!("sha256:{}", "0".repeat(64));
        server.add(&name, vec![7; 100]);
        let address = format!("{}/{name}", server.url);
        assert_eq!(code_at(&address), "ARCHIVE_CORRUPT");
    }
}
