//! Archives in a cache directory: bounds, use, what dead processes left.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use super::{Cache, hold_archive};

const HOUR: u64 = 3600;

fn open() -> (tempfile::TempDir, Cache) {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::open(&directory.path().join("cache")).unwrap();
    fs::create_dir(cache.root().join("archives")).unwrap();
    (directory, cache)
}

fn age(path: &Path, seconds: u64) {
    let then = SystemTime::now() - Duration::from_secs(seconds);
    File::open(path).unwrap().set_modified(then).unwrap();
}

/// A file of two blocks that was used so many seconds ago.
fn put(cache: &Cache, name: &str, seconds: u64) -> PathBuf {
    let path = cache.root().join("archives").join(name);
    fs::write(&path, vec![1; 8192]).unwrap();
    age(&path, seconds);
    path
}

#[test]
fn archives_go_like_layers_and_one_that_is_held_or_was_just_found_stays() {
    let (_directory, cache) = open();
    let held = put(&cache, "held.clip", 5 * HOUR);
    let old = put(&cache, "old.v1.clip", 4 * HOUR);
    let layer = put(&cache, "old.v1.tar", 4 * HOUR);
    let young = put(&cache, "young.clip", HOUR);
    let fresh = put(&cache, "fresh.clip", 1);
    let file = File::open(&held).unwrap();
    hold_archive(&file);
    let copy = file.try_clone().unwrap();
    drop(file); // as when a daemon died and the holder has the descriptor
    let all = cache.held_bytes().unwrap();
    assert_eq!(all, 5 * 8192);
    let would = cache.evict(all - 1, true).unwrap();
    assert_eq!((would.archives, would.bytes), (1, 2 * 8192));
    assert!(old.exists(), "a dry run removes nothing");
    assert_eq!(cache.evict(all - 1, false).unwrap(), would);
    assert!(!old.exists() && !layer.exists() && young.exists());
    cache.evict(0, false).unwrap();
    assert!(held.exists() && fresh.exists() && !young.exists());
    drop(copy);
    assert_eq!(cache.evict(0, false).unwrap().archives, 1);
    assert!(!held.exists());
}

#[test]
fn what_a_clock_that_was_wrong_left_stays_no_longer_for_it() {
    let (_directory, cache) = open();
    let [future, temporary, ahead] =
        ["future.clip", "future.clip.1.tmp", "ahead.clip"].map(|name| put(&cache, name, 0));
    for (path, to_come) in [(&future, 24 * HOUR), (&temporary, 24 * HOUR), (&ahead, 10)] {
        let then = SystemTime::now() + Duration::from_secs(to_come);
        File::open(path).unwrap().set_modified(then).unwrap();
    }
    assert_eq!(cache.reap().unwrap(), 1);
    assert_eq!(cache.evict(0, false).unwrap().archives, 1);
    assert!(!future.exists() && !temporary.exists());
    assert!(ahead.exists(), "a file server's clock may be ahead");
}

#[test]
fn what_dead_processes_left_goes_and_what_is_being_written_stays() {
    let (_directory, cache) = open();
    let folder = |name: &str, seconds: u64| {
        let path = cache.root().join("archives").join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("layer"), b"x").unwrap();
        age(&path.join("layer"), seconds);
        age(&path, 2 * HOUR);
        path
    };
    let left = [
        put(&cache, "a.clip.123.tmp", 2 * HOUR),
        put(&cache, "lost.v1.tar", 2 * HOUR),
        put(&cache, "away.link", 2 * HOUR),
        folder(".b.v1.tmp", 2 * HOUR),
    ];
    let stay = [
        put(&cache, "c.clip.456.tmp", 60),
        put(&cache, "coming.v1.tar", 60),
        folder(".d.v1.tmp", 60),
    ];
    assert!(cache.list_archives().unwrap().is_empty());
    cache.evict(u64::MAX, true).unwrap();
    assert!(left.iter().all(|path| path.exists()));
    assert_eq!(cache.reap().unwrap(), 4);
    assert!(left.iter().all(|path| !path.exists()));
    assert!(stay.iter().all(|path| path.exists()));
}

#[test]
fn who_looks_at_the_cache_keeps_no_mount_from_holding_its_archive() {
    let (_directory, cache) = open();
    let archive = put(&cache, "wanted.clip", 2 * HOUR);
    for _ in 0..50 {
        let file = File::open(&archive).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..100 {
                    cache.list_archives().unwrap();
                }
            });
            hold_archive(&file);
        });
        assert!(cache.list_archives().unwrap()[0].in_use);
    }
}
