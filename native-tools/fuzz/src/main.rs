//! One program for all fuzz targets: libFuzzer with the target that `FUZZ_TARGET` names. `scripts/fuzz.sh` builds it with
//! coverage counters and runs it over the committed corpus in `test/fuzz-corpus/<target>`.
#![no_main]

mod targets;

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};
use targets::{Target, target_of};

static TARGET: LazyLock<Target> =
    LazyLock::new(|| target_of(&std::env::var("FUZZ_TARGET").unwrap_or_default()));

fuzz_target!(|data: &[u8]| (*TARGET)(data));

/// The bytes as an open file, at its start.
fn file_of(bytes: &[u8]) -> File {
    let mut file = File::from(memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("a memfd"));
    file.write_all(bytes).expect("memory");
    file.rewind().expect("a seekable file");
    file
}
