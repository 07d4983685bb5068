//! The cache: shared, damaged, full.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use archive_format::digest::oci;

use super::CHUNK;
use super::harness::{Harness, read};
use crate::stats::Mode;
use crate::testing::{Stored, assert_same, layer, sample};

#[test]
fn a_layer_that_was_read_once_is_read_again_without_the_registry() {
    let plain = sample(200_000, 3);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    read(&harness.open(&table).0, 0, plain.len()).unwrap();
    harness.server.clear_log();
    let (layer, stats) = harness.open(&table);
    assert_eq!(
        layer.stat().mode,
        Mode::Lazy,
        "nothing is proven in a new process"
    );
    assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain);
    assert!(harness.server.log().is_empty());
    assert_eq!(stats.cache_hits.get(), table.chunks.len() as u64);
    assert_eq!(layer.stat().mode, Mode::Complete);
}

#[test]
fn a_damaged_cache_is_healed_and_never_served() {
    let plain = sample(200_000, 20);
    for stored in [
        Stored::ZstdFrames,
        Stored::GzipMembers(10_000),
        Stored::Plain,
    ] {
        let (table, blob) = layer(&plain, stored, CHUNK);
        let harness = Harness::with(&table, &blob);
        read(&harness.open(&table).0, 0, plain.len()).unwrap();
        let data = harness.cache_file(&table, "data");
        let file = fs::OpenOptions::new().write(true).open(&data).unwrap();
        for at in [0, 100_000, 199_999] {
            file.write_all_at(&[plain[at] ^ 0x80], at as u64).unwrap();
        }
        let (layer, stats) = harness.open(&table);
        assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain, "{stored:?}");
        assert_eq!(stats.cache_damaged.get(), 3);
        assert_same(fs::read(&data).unwrap(), &plain, "healed on disk too");
    }
}

#[test]
fn a_cache_that_lost_its_data_or_map_is_filled_again() {
    let plain = sample(200_000, 21);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    for lose in ["data", "map"] {
        read(&harness.open(&table).0, 0, plain.len()).unwrap();
        fs::write(harness.cache_file(&table, lose), b"").unwrap();
        assert_eq!(
            read(&harness.open(&table).0, 0, plain.len()).unwrap(),
            plain,
            "{lose}"
        );
    }
}

#[test]
fn a_cache_file_that_is_cut_while_in_use_costs_a_fetch() {
    let plain = sample(200_000, 22);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    let (layer, _) = harness.open(&table);
    read(&layer, 0, plain.len()).unwrap();
    fs::File::options()
        .write(true)
        .open(harness.cache_file(&table, "data"))
        .unwrap()
        .set_len(50_000)
        .unwrap();
    for start in (0..200_000).step_by(10_000).rev() {
        assert_same(
            read(&layer, start, 10_000).unwrap(),
            &plain[start..start + 10_000],
            format!("{start}"),
        );
    }
}

#[test]
fn a_chunk_that_comes_after_the_file_was_cut_uncovers_no_zeros() {
    let plain = sample(200_000, 33);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    let (layer, _) = harness.open(&table);
    read(&layer, 100_000, 10).unwrap();
    fs::write(harness.cache_file(&table, "data"), b"").unwrap();
    assert_same(
        read(&layer, 190_000, 10).unwrap(),
        &plain[190_000..190_010],
        "",
    );
    assert_same(
        read(&layer, 100_000, 10).unwrap(),
        &plain[100_000..100_010],
        "",
    );
}

#[test]
fn two_processes_on_one_cache_share_what_they_fetch() {
    let plain = sample(200_000, 23);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    let (one, _) = harness.open(&table);
    let (other, other_stats) = harness.open(&table);
    read(&one, 0, plain.len()).unwrap();
    assert_eq!(read(&other, 0, plain.len()).unwrap(), plain);
    assert_eq!(other_stats.requests.get(), 0);
}

#[test]
fn another_chunk_table_for_the_same_layer_has_a_cache_of_its_own() {
    let plain = sample(100_000, 24);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    let forged_plain = sample(100_000, 25);
    let (mut forged, forged_blob) = layer(&forged_plain, Stored::ZstdFrames, CHUNK);
    forged.diff_id = table.diff_id;
    harness.server.add(&oci(&forged.digest), forged_blob);
    assert_same(
        read(&harness.open(&forged).0, 0, 100_000).unwrap(),
        &forged_plain,
        "",
    );
    assert_same(
        read(&harness.open(&table).0, 0, 100_000).unwrap(),
        &plain,
        "",
    );
}

#[test]
fn a_disk_that_is_full_costs_the_copy_and_not_the_reader() {
    let plain = sample(200_000, 26);
    let (table, blob) = layer(&plain, Stored::ZstdFrames, CHUNK);
    let harness = Harness::with(&table, &blob);
    let (mut layer, stats) = harness.open(&table);
    Arc::get_mut(&mut layer).unwrap().cache.break_for_test(); // every write fails, whatever the reason
    assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain);
    assert_eq!(read(&layer, 0, plain.len()).unwrap(), plain);
    assert!(stats.not_kept.get() >= table.chunks.len() as u64);
}
