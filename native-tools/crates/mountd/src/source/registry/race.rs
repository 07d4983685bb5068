//! One answer out of one request, or out of two where the first is late.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Instant;

use super::RegistrySource;
use super::answer::Refusal;
use super::hedge::Second;
use crate::source::{Blob, FetchKind};

type Opened = Result<Box<dyn Read + Send>, Refusal>;

const STACK_BYTES: usize = 1 << 20;

impl RegistrySource {
    /// Asks for a range. Where the answer takes longer than nearly all before, it is asked for once more, and the first one
    /// counts; the connection of the other is closed when it answers.
    pub(super) fn ask_in_time(self: &Arc<Self>, blob: &Blob, range: &Range<u64>) -> Opened {
        let Some(patience) = self.hedge.patience() else {
            return self.ask_and_note(blob, range);
        };
        let (sender, answers) = mpsc::channel();
        self.ask_aside(blob, range, sender.clone(), None)?;
        if let Ok(answer) = answers.recv_timeout(patience) {
            return answer;
        }
        if let Some(second) = self.hedge.second(blob.digest) {
            tracing::debug!(start = range.start, "an answer is late; asking once more");
            self.ask_aside(blob, range, sender, Some(second))?;
        } else {
            drop(sender); // the channel ends with the last request
        }
        let mut refused = None;
        while let Ok(answer) = answers.recv() {
            match answer {
                Err(refusal) => refused = Some(refusal),
                opened => return opened,
            }
        }
        Err(refused.unwrap_or_else(|| Refusal::now(FetchKind::Unavailable, "no answer")))
    }

    fn ask_and_note(&self, blob: &Blob, range: &Range<u64>) -> Opened {
        let started = Instant::now();
        let answer = self.ask(blob, range);
        if answer.is_ok() {
            self.hedge.answered(started.elapsed());
        }
        answer
    }

    fn ask_aside(
        self: &Arc<Self>,
        blob: &Blob,
        range: &Range<u64>,
        sender: Sender<Opened>,
        second: Option<Second>,
    ) -> Result<(), Refusal> {
        let (source, blob, range) = (Arc::clone(self), *blob, range.clone());
        let asked = thread::Builder::new()
            .name("ask".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let answer = source.ask_and_note(&blob, &range);
                drop(second);
                // Nobody listens to the one that comes too late.
                let _ = sender.send(answer);
            });
        asked
            .map(drop)
            .map_err(|error| Refusal::now(FetchKind::Unavailable, format!("no thread: {error}")))
    }
}
