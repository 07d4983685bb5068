//! The windows of seek points, one by one from the archive's section `seek`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use archive_format::FormatError;
use archive_format::digest::oci;
use archive_format::seek::Window;

use super::{Layer, Plan};

/// Section `seek` of an archive. Nothing of it is held in memory: a window is read when a fetch begins at its point, which
/// costs a fraction of what the fetch does.
#[derive(Debug, Clone)]
pub struct Windows {
    archive: Arc<File>,
    start: u64,
}

impl Windows {
    /// Of the section that starts at byte `start` of the archive.
    #[must_use]
    pub fn new(archive: Arc<File>, start: u64) -> Self {
        Self { archive, start }
    }

    fn read(&self, window: &Window) -> Result<Vec<u8>, FormatError> {
        let mut stored = vec![0; window.stored as usize];
        let at = self.start.saturating_add(window.offset);
        self.archive
            .read_exact_at(&mut stored, at)
            .map_err(|error| FormatError::io("reading a window of section seek", error))?;
        window.decode(&stored)
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

    fn window_failed(&self, span: usize, error: &FormatError) {
        tracing::warn!(
            code = "ARCHIVE_CORRUPT",
            span,
            layer = oci(&self.table.diff_id),
            %error,
            "a seek window cannot be used; reading from the point before it"
        );
    }
}
