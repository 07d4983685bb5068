//! A cache directory by itself: bounds, pins, damage.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use archive_format::digest::sha256;
use archive_format::tables::LayerTable;
use proptest::prelude::*;

use super::{Cache, Free, Limits, layer_name};
use crate::testing::{Stored, layer, sample};

const CHUNK: u32 = 16 << 10;
const PLAIN: usize = 100_000;

/// A layer with all its chunks in the cache, used so many seconds ago.
fn fill(cache: &Cache, seed: u64, ago: u64) -> LayerTable {
    let plain = sample(PLAIN, seed);
    let (mut table, _) = layer(&plain, Stored::ZstdFrames, CHUNK);
    table.diff_id = sha256(&plain);
    let kept = cache.layer(&table).unwrap();
    for (index, part) in (0..).zip(plain.chunks(CHUNK as usize)) {
        kept.keep(index, u64::from(index) * u64::from(CHUNK), part)
            .unwrap();
    }
    let lock = File::open(directory(cache, &table).join("lock")).unwrap();
    let used = SystemTime::now() - Duration::from_secs(ago);
    lock.set_modified(used).unwrap();
    table
}

fn directory(cache: &Cache, table: &LayerTable) -> std::path::PathBuf {
    cache.root().join("layers").join(layer_name(table))
}

fn held(cache: &Cache) -> u64 {
    cache.list().unwrap().iter().map(|layer| layer.bytes).sum()
}

fn is_there(cache: &Cache, table: &LayerTable) -> bool {
    directory(cache, table).exists()
}

fn open() -> (tempfile::TempDir, Cache) {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::open(&directory.path().join("cache")).unwrap();
    (directory, cache)
}

#[test]
fn what_was_unused_for_longest_goes_first_and_what_is_in_use_or_pinned_stays() {
    let (_directory, cache) = open();
    let [pinned, used, old, young] =
        [(1, 40), (2, 30), (3, 20), (4, 10)].map(|(seed, ago)| fill(&cache, seed, ago));
    let name = layer_name(&pinned);
    assert_eq!(cache.pin(&name[..12], true).unwrap(), 1);
    let in_use = cache.layer(&used).unwrap();
    let one = held(&cache) / 4;
    let listed = cache.list().unwrap();
    assert!(listed.iter().any(|layer| layer.pinned && !layer.in_use));
    assert!(listed.iter().any(|layer| layer.in_use && !layer.pinned));
    let would = cache.evict(one * 3, true).unwrap();
    assert_eq!((would.layers, would.bytes), (1, one));
    assert!(is_there(&cache, &old), "a dry run removes nothing");
    assert_eq!(cache.evict(one * 3, false).unwrap(), would);
    assert!(!is_there(&cache, &old) && is_there(&cache, &young));
    cache.evict(0, false).unwrap();
    assert!(is_there(&cache, &pinned) && is_there(&cache, &used) && !is_there(&cache, &young));
    drop(in_use);
    cache.pin("", false).unwrap();
    assert_eq!(cache.evict(0, false).unwrap().left_bytes, 0);
}

#[test]
fn what_a_clock_that_was_wrong_left_goes_first() {
    let (_directory, cache) = open();
    let [future, old, young] =
        [(1, 0), (2, 20), (3, 10)].map(|(seed, ago)| fill(&cache, seed, ago));
    let year = Duration::from_hours(24 * 365);
    let lock = File::open(directory(&cache, &future).join("lock")).unwrap();
    lock.set_modified(SystemTime::now() + year).unwrap();
    let one = held(&cache) / 3;
    assert_eq!(cache.evict(one * 2, false).unwrap().layers, 1);
    assert!(!is_there(&cache, &future) && is_there(&cache, &old) && is_there(&cache, &young));
    // A file server may be some seconds ahead.
    let lock = File::open(directory(&cache, &young).join("lock")).unwrap();
    lock.set_modified(SystemTime::now() + Duration::from_secs(10))
        .unwrap();
    cache.evict(one, false).unwrap();
    assert!(!is_there(&cache, &old) && is_there(&cache, &young));
}

#[test]
fn a_cache_over_its_bound_keeps_no_more_until_there_is_room() {
    let (_directory, cache) = open();
    let table = fill(&cache, 5, 10);
    let in_use = cache.layer(&table).unwrap();
    let limits = Limits {
        most_bytes: Some(1),
        least_free: None,
    };
    assert!(cache.tend(&limits).unwrap().is_full);
    let refused = in_use.keep(0, 0, &sample(10, 1)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::StorageFull);
    assert!(in_use.is_written(0), "what is there stays readable");
    drop(in_use);
    let tended = cache.tend(&limits).unwrap();
    assert_eq!((tended.evicted.layers, tended.is_full), (1, false));
    let again = cache.layer(&table).unwrap();
    again.keep(0, 0, &sample(10, 1)).unwrap();
}

#[test]
fn a_filesystem_that_is_short_of_space_is_given_back_what_nobody_uses() {
    let (_directory, cache) = open();
    let table = fill(&cache, 6, 10);
    let all = Limits {
        most_bytes: None,
        least_free: Some(Free::Bytes(u64::MAX)),
    };
    let tended = cache.tend(&all).unwrap();
    assert!(
        tended.is_full && tended.evicted.layers == 1,
        "no disk has that much"
    );
    assert!(!is_there(&cache, &table));
    let little = Limits {
        most_bytes: None,
        least_free: Some(Free::Bytes(1)),
    };
    assert!(!cache.tend(&little).unwrap().is_full);
}

#[test]
fn space_to_keep_free_can_be_a_part_of_the_filesystem() {
    let (_directory, cache) = open();
    let table = fill(&cache, 10, 10);
    let part = |percent| Limits {
        most_bytes: None,
        least_free: Some(Free::Percent(percent)),
    };
    assert!(!cache.tend(&part(0)).unwrap().is_full);
    assert!(is_there(&cache, &table));
    let tended = cache.tend(&part(100)).unwrap();
    assert!(
        tended.is_full && !is_there(&cache, &table),
        "something is always used"
    );
}

#[test]
fn a_layer_whose_table_is_lost_or_forged_is_named_as_unknown() {
    let (_directory, cache) = open();
    let table = fill(&cache, 7, 1);
    let path = directory(&cache, &table).join("table");
    let other = fill(&cache, 8, 1);
    fs::copy(directory(&cache, &other).join("table"), &path).unwrap();
    let forged = cache.verify(|_| true).unwrap();
    assert_eq!((forged.unknown_layers, forged.damaged), (1, 0));
    fs::write(&path, b"nonsense").unwrap();
    assert_eq!(cache.verify(|_| true).unwrap().unknown_layers, 1);
    fs::remove_file(&path).unwrap();
    drop(cache.layer(&table).unwrap());
    assert_eq!(
        cache.verify(|_| true).unwrap().unknown_layers,
        0,
        "it is left there again by the next mount"
    );
}

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn every_flipped_bit_of_cached_data_is_found(places in proptest::collection::btree_set(0..PLAIN as u64, 1..6)) {
        let (_directory, cache) = open();
        let table = fill(&cache, 9, 1);
        let chunks = table.chunks.len() as u64;
        let data = directory(&cache, &table).join("data");
        prop_assert_eq!(cache.verify(|_| true).unwrap().damaged, 0);
        for at in &places {
            flip(&data, *at);
        }
        let hit: std::collections::BTreeSet<_> = places.iter().map(|at| at / u64::from(CHUNK)).collect();
        let found = cache.verify(|_| true).unwrap();
        prop_assert_eq!((found.chunks, found.bytes), (chunks, PLAIN as u64));
        prop_assert_eq!(found.damaged, hit.len() as u64);
        let again = cache.verify(|_| true).unwrap();
        prop_assert_eq!((again.chunks, again.damaged), (chunks - hit.len() as u64, 0), "off the map");
    }
}
