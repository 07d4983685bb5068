//! Checking what is cached of a layer in use.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use archive_format::digest::oci;
use proptest::prelude::*;

use super::CHUNK;
use super::harness::{Harness, read};
use crate::testing::{Stored, assert_same, layer, sample};

const PLAIN: usize = 200_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn a_check_finds_and_heals_every_damaged_byte_and_no_reader_gets_one(
        places in proptest::collection::btree_set(0..PLAIN as u64, 1..8),
        is_checked in any::<bool>(),
    ) {
        let plain = sample(PLAIN, 41);
        let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
        let harness = Harness::with(&table, &blob);
        read(&harness.open(&table).0, 0, PLAIN).unwrap();
        let data = harness.cache_file(&table, "data");
        let file = File::options().write(true).open(&data).unwrap();
        for at in &places {
            file.write_all_at(&[plain[usize::try_from(*at).unwrap()] ^ 1], *at).unwrap();
        }
        let hit: std::collections::BTreeSet<_> = places.iter().map(|at| at / u64::from(CHUNK)).collect();
        let (layer, stats) = harness.open(&table);
        if is_checked {
            let found = layer.verify().unwrap();
            prop_assert_eq!(found.damaged, hit.len() as u64);
            assert_same(std::fs::read(&data).unwrap(), &plain, "fetched again at once");
            prop_assert_eq!(layer.verify().unwrap().damaged, 0);
        }
        assert_same(read(&layer, 0, PLAIN).unwrap(), &plain, "");
        prop_assert_eq!(stats.cache_damaged.get(), hit.len() as u64);
    }
}

#[test]
fn a_chunk_that_rots_after_it_was_proven_is_found_by_a_check() {
    let plain = sample(PLAIN, 42);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    let (layer, _) = harness.open(&table);
    read(&layer, 0, PLAIN).unwrap();
    let data = harness.cache_file(&table, "data");
    let file = File::options().write(true).open(&data).unwrap();
    file.write_all_at(&[plain[70_000] ^ 1], 70_000).unwrap();
    // Away: the chunk is off the map, and its reader gets an error and no wrong byte.
    harness.server.remove(&oci(&table.digest));
    assert_eq!(layer.verify().unwrap().damaged, 1);
    assert!(read(&layer, 70_000, 10).is_err());
    harness.server.add(&oci(&table.digest), blob);
    assert_same(read(&layer, 0, PLAIN).unwrap(), &plain, "");
}

#[test]
fn a_filesystem_that_is_full_costs_the_copy_and_not_the_reader() {
    let plain = sample(PLAIN, 43);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    let small = harness.directory.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let mount = |arguments: &[&str]| {
        let mut command = Command::new(arguments[0]);
        let done = command.args(&arguments[1..]).arg(&small).status();
        assert!(done.unwrap().success(), "{arguments:?}");
    };
    mount(&["mount", "-t", "tmpfs", "-o", "size=100k", "small"]);
    {
        let (layer, stats) = harness.open_over(&table, &small);
        for _ in 0..2 {
            assert_same(read(&layer, 0, PLAIN).unwrap(), &plain, "");
        }
        assert!(stats.not_kept.get() > 0);
    }
    mount(&["umount", "-l"]);
}
