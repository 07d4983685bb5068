//! How often the kernel asked, by what it asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::message::opcode;

/// Opcodes below this are counted one by one (linux/fuse.h has 53); those above, of other kinds of server, as one.
const KINDS: usize = 64;

/// Requests on one connection, counted by the process that serves it.
#[derive(Debug)]
pub struct RequestCounts([AtomicU64; KINDS]);

impl Default for RequestCounts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl RequestCounts {
    pub(super) fn add(&self, opcode: u32) {
        let kind = usize::try_from(opcode).map_or(0, |opcode| opcode % KINDS);
        if let Some(count) = self.0.get(kind) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// By kind, in lower case as in linux/fuse.h; what this server does not answer by its opcode. Kinds that never came are
    /// left out.
    #[must_use]
    pub fn by_kind(&self) -> BTreeMap<String, u64> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        let came = (0u32..).zip(counts).filter(|(_, count)| *count > 0);
        came.map(|(kind, count)| (name(kind), count)).collect()
    }
}

fn name(kind: u32) -> String {
    match kind {
        opcode::LOOKUP => "lookup",
        opcode::FORGET => "forget",
        opcode::BATCH_FORGET => "batch_forget",
        opcode::GETATTR => "getattr",
        opcode::READLINK => "readlink",
        opcode::OPEN => "open",
        opcode::READ => "read",
        opcode::STATFS => "statfs",
        opcode::RELEASE => "release",
        opcode::GETXATTR => "getxattr",
        opcode::LISTXATTR => "listxattr",
        opcode::READDIR => "readdir",
        opcode::READDIRPLUS => "readdirplus",
        opcode::LSEEK => "lseek",
        opcode::IOCTL => "ioctl",
        _ => return format!("opcode_{kind}"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_kind() {
        let counts = RequestCounts::default();
        for opcode in [opcode::READ, opcode::READ, opcode::LOOKUP, 9, 4096] {
            counts.add(opcode);
        }
        assert_eq!(counts.total(), 5);
        let wanted = [("lookup", 1), ("opcode_0", 1), ("opcode_9", 1), ("read", 2)];
        let wanted = wanted.map(|(kind, count)| (kind.to_owned(), count));
        assert_eq!(counts.by_kind(), BTreeMap::from(wanted));
    }
}
