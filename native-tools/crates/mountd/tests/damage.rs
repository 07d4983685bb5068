//! One byte is changed anywhere: in the archive, in the cache before a start's first read, in a blob, on the wire. What a
//! reader gets is right, or an error; never another byte.
//!
//! `scripts/soak.sh damage` does the same many more times. A trial is a function of seed and number alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::{Instant, SystemTime};

use archive_format::digest::oci;
use archive_format::read::Archive;
use serde_json::{Value, json};
use support::TestImage;
use support::daemon::{Node, folder};
use support::testing::Stored;
use support::wire::{Way, Wire};

/// Every way a layer can be stored.
const LAYERS: &[(Stored, &[usize])] = &[
    (Stored::ZstdFrames, &[90_000, 300]),
    (Stored::GzipMembers(40_000), &[70_000]),
    (Stored::GzipPoints(16_384), &[70_000]),
    (Stored::ZstdWhole, &[70_000]),
    (Stored::Plain, &[70_000]),
];

const PLACES: [&str; 4] = ["archive", "cache", "blob", "wire"];
const ENGINES: [&str; 2] = ["erofs", "fuse"];

/// Bytes of requests and answer heads, which are a small part of what goes over the wire.
const HEADS: u64 = 1_500;

/// What came of a changed byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The image was not mounted, for this reason.
    Refused(String),
    /// Some reads failed, all others were right.
    Error,
    /// It was noticed, and all reads were right.
    Healed,
    /// Nobody reads this byte, or it changes nothing.
    Unaffected,
    /// What must never be.
    Wrong(String),
}

/// Numbers that look like chance (splitmix64).
struct Chance(u64);

impl Chance {
    fn of(seed: u64, trial: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ trial.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    /// What a byte is changed by.
    fn mask(&mut self) -> u8 {
        u8::try_from(1 + self.below(255)).unwrap()
    }
}

/// Reads of a whole tree.
#[derive(Debug, Default)]
struct Seen {
    errors: usize,
    wrong: Vec<String>,
}

/// An image, its registry behind a wire, a cache that has all of it, and a daemon.
struct Bench {
    directory: tempfile::TempDir,
    image: TestImage,
    wire: Wire,
    node: Node,
    engine: &'static str,
    /// Bytes of all answers to a clean start.
    answers: u64,
    trial: u64,
}

impl Bench {
    fn make(engine: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = TestImage::make(directory.path(), LAYERS);
        let wire = Wire::to(&image.server.url);
        let node = Node::start(directory.path(), &[]);
        let mut bench = Self {
            directory,
            image,
            wire,
            node,
            engine,
            answers: 0,
            trial: u64::MAX,
        };
        let warm = bench.path("warm");
        let (seen, stat) = bench.with(&bench.image.archive, &warm, || ()).unwrap();
        assert!(seen.wrong.is_empty() && seen.errors == 0, "{seen:?}");
        bench.answers = stat["fetchedBytes"].as_u64().unwrap() + HEADS;
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Mounts, reads everything, and once more after `mend`; the error where it is refused.
    fn with(
        &self,
        archive: &Path,
        cache: &Path,
        mend: impl FnOnce(),
    ) -> Result<(Seen, Value), Value> {
        let mountpoint = folder(self.directory.path(), "mnt");
        let mut request = self.image.request(cache);
        request["archive"] = archive.to_str().unwrap().into();
        request["engine"] = self.engine.into();
        request["registry"]["baseUrl"] = self.wire.url.as_str().into();
        // A changed length leaves both sides waiting.
        request["readTimeoutMs"] = 500.into();
        let id = format!("t{}", self.trial);
        self.node.mount(&id, &request, &mountpoint)?;
        let mut seen = self.look(&mountpoint);
        mend();
        if seen.errors > 0 {
            // An error is not kept: what is in order again is read again.
            let again = self.look(&mountpoint);
            seen.wrong.extend(again.wrong);
        }
        let stat = self.node.unmount(&mountpoint).unwrap();
        Ok((seen, stat))
    }

    fn look(&self, mountpoint: &Path) -> Seen {
        let mut seen = Seen::default();
        match fs::read_dir(mountpoint) {
            Ok(entries) => {
                let mut names: Vec<_> = entries
                    .flatten()
                    .map(|entry| entry.file_name().to_string_lossy().into_owned())
                    .collect();
                names.sort();
                if !names.iter().eq(self.image.files.keys()) {
                    seen.wrong.push(format!("the names {names:?}"));
                }
            }
            Err(error) => seen.failed("readdir", &error),
        }
        for (name, bytes) in &self.image.files {
            let path = mountpoint.join(name);
            match fs::metadata(&path) {
                Ok(data) => {
                    let found = (data.mode(), data.uid(), data.mtime(), data.mtime_nsec());
                    if found != (0o100_755, 0, 1_700_000_000, 5) || data.len() != bytes.len() as u64
                    {
                        seen.wrong.push(format!("{name}: attributes {data:?}"));
                    }
                }
                Err(error) => seen.failed(name, &error),
            }
            match fs::read(&path) {
                Ok(found) if found == *bytes => (),
                Ok(found) => {
                    let at = found.iter().zip(bytes).position(|(a, b)| a != b);
                    let length = found.len();
                    seen.wrong
                        .push(format!("{name}: {length} bytes, another one at {at:?}"));
                }
                Err(error) => seen.failed(name, &error),
            }
        }
        seen
    }

    fn run(&mut self, seed: u64, trial: u64) -> (&'static str, Outcome) {
        self.trial = trial;
        let mut chance = Chance::of(seed, trial);
        let place = PLACES[usize::try_from(trial / 2).unwrap() % PLACES.len()];
        let tried = match place {
            "archive" => self.change_archive(&mut chance),
            "cache" => self.change_cache(&mut chance),
            "blob" => self.change_blob(&mut chance),
            _ => self.change_wire(&mut chance),
        };
        (
            place,
            tried.unwrap_or_else(|refused| {
                Outcome::Refused(refused["code"].as_str().unwrap_or_default().to_owned())
            }),
        )
    }

    /// Windows of seek points are most of the archive: one trial in four is theirs.
    fn change_archive(&self, chance: &mut Chance) -> Result<Outcome, Value> {
        let mut bytes = fs::read(&self.image.archive).unwrap();
        let windows = self.image.windows_at(&bytes);
        let in_windows = chance.below(4) == 0;
        let mut places: Vec<usize> = (0..bytes.len()).collect();
        places.retain(|at| windows.contains(at) == in_windows);
        let at = places[usize::try_from(chance.below(places.len() as u64)).unwrap()];
        bytes[at] ^= chance.mask();
        let path = self.path("changed.clip");
        fs::write(&path, bytes).unwrap();
        // Nothing is cached: windows of seek points are used only where something is fetched.
        let cache = self.path(&format!("cache-{}", self.trial));
        let tried = self.with(&path, &cache, || ());
        let _ = fs::remove_dir_all(&cache);
        Ok(tried?.0.outcome(false))
    }

    /// Mostly in the layers' data, now and then in the small files beside them.
    fn change_cache(&self, chance: &mut Chance) -> Result<Outcome, Value> {
        let cache = self.path(&format!("cache-{}", self.trial));
        copy_all(&self.path("warm"), &cache);
        let mut files = files_below(&cache);
        let wants_data = chance.below(8) > 0;
        files.retain(|path| path.ends_with("data") == wants_data);
        let lengths = files.iter().map(|path| fs::metadata(path).unwrap().len());
        let mut at = chance.below(lengths.clone().sum());
        let place = files.iter().zip(lengths).find(|(_, length)| {
            let here = at < *length;
            at -= if here { 0 } else { *length };
            here
        });
        let (path, _) = place.unwrap();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ chance.mask()], at).unwrap();
        let (seen, stat) = self.with(&self.image.archive, &cache, || ())?;
        fs::remove_dir_all(&cache).unwrap();
        let noticed = stat["cacheDamaged"] != 0 || stat["requests"] != 0;
        if wants_data && !noticed {
            return Ok(Outcome::Wrong(format!("{path:?} at {at}: not noticed")));
        }
        Ok(seen.outcome(noticed))
    }

    fn change_blob(&self, chance: &mut Chance) -> Result<Outcome, Value> {
        let layer = usize::try_from(chance.below(LAYERS.len() as u64)).unwrap();
        let digest = oci(&self.image.tables[layer].digest);
        let blob = self.image.server.blob(&digest);
        let mut changed = blob.clone();
        let at = usize::try_from(chance.below(blob.len() as u64)).unwrap();
        changed[at] ^= chance.mask();
        self.image.server.add(&digest, changed);
        let cache = self.path(&format!("cache-{}", self.trial));
        let mend = || self.image.server.add(&digest, blob.clone());
        let tried = self.with(&self.image.archive, &cache, mend);
        self.image.server.add(&digest, blob.clone());
        let _ = fs::remove_dir_all(&cache);
        Ok(tried?.0.outcome(false))
    }

    /// Requests and heads as often as all the data.
    fn change_wire(&self, chance: &mut Chance) -> Result<Outcome, Value> {
        let (way, end) = match chance.below(4) {
            0 => (Way::Request, HEADS),
            1 => (Way::Response, HEADS),
            _ => (Way::Response, self.answers),
        };
        self.wire.flip(way, chance.below(end), chance.mask());
        let cache = self.path(&format!("cache-{}", self.trial));
        let went_by = std::cell::Cell::new(false);
        let tried = self.with(&self.image.archive, &cache, || {
            went_by.set(self.wire.rest())
        });
        let _ = fs::remove_dir_all(&cache);
        Ok(tried?.0.outcome(went_by.get()))
    }
}

impl Seen {
    /// Damage is EIO or EUCLEAN; that something is not there is a lie.
    fn failed(&mut self, what: &str, error: &std::io::Error) {
        match error.raw_os_error() {
            Some(5 | 117) => self.errors += 1,
            _ => self.wrong.push(format!("{what}: {error}")),
        }
    }

    fn outcome(&self, noticed: bool) -> Outcome {
        match self {
            Self { wrong, .. } if !wrong.is_empty() => Outcome::Wrong(wrong.join("; ")),
            Self { errors, .. } if *errors > 0 => Outcome::Error,
            _ if noticed => Outcome::Healed,
            _ => Outcome::Unaffected,
        }
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy_all(from: &Path, to: &Path) {
    for path in files_below(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, &target).unwrap();
    }
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_changed_byte_reaches_a_reader() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = setting("CLIPYARD_SOAK_SEED").unwrap_or(now.unwrap().as_secs());
    let trials: u64 = setting("CLIPYARD_SOAK_TRIALS").unwrap_or(320);
    let only: Option<u64> = setting("CLIPYARD_SOAK_TRIAL");
    let started = Instant::now();
    let outcomes: Vec<(u64, &str, Outcome)> = thread::scope(|scope| {
        let engines = (0..).zip(ENGINES).map(|(first, engine)| {
            scope.spawn(move || {
                let mut bench = Bench::make(engine);
                let numbers = (first..trials.max(only.unwrap_or(0) + 1)).step_by(ENGINES.len());
                let wanted = numbers.filter(|number| only.is_none_or(|only| only == *number));
                wanted
                    .map(|trial| {
                        let (place, outcome) = bench.run(seed, trial);
                        (trial, place, outcome)
                    })
                    .collect::<Vec<_>>()
            })
        });
        let running: Vec<_> = engines.collect();
        running
            .into_iter()
            .flat_map(|engine| engine.join().unwrap())
            .collect()
    });
    let mut places: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
    let mut wrong = vec![];
    for (trial, place, outcome) in &outcomes {
        let name = match outcome {
            Outcome::Refused(code) => format!("refused {code}"),
            Outcome::Wrong(what) => {
                wrong.push(format!("trial {trial}, {place}: {what}"));
                "wrong".to_owned()
            }
            other => format!("{other:?}").to_lowercase(),
        };
        *places.entry(place).or_default().entry(name).or_default() += 1;
    }
    let line = json!({
        "soak": "damage",
        "seed": seed,
        "trials": outcomes.len(),
        "wrong": wrong.len(),
        "seconds": started.elapsed().as_secs(),
        "places": places,
    });
    println!("{line}");
    assert!(
        wrong.is_empty(),
        "CLIPYARD_SOAK_SEED={seed} CLIPYARD_SOAK_TRIAL=N does one again: {wrong:#?}"
    );
    if only.is_none() {
        assert_eq!(outcomes.len() as u64, trials);
        // The trials bite: otherwise nothing was tried.
        let count = |place: &str, what: &str| {
            let found = places.get(place).into_iter().flatten();
            found
                .filter(|(name, _)| name.starts_with(what))
                .map(|(_, count)| count)
                .sum::<u64>()
        };
        assert!(count("archive", "refused") > 0, "{line}");
        assert!(count("cache", "healed") > trials / 6, "{line}");
        assert!(count("blob", "error") > trials / 6, "{line}");
        assert!(count("wire", "healed") > trials / 10, "{line}");
    }
}

#[test]
fn an_archive_that_is_cut_anywhere_is_a_coded_error_and_mounts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let whole = fs::read(&image.archive).unwrap();
    let footer = Archive::open(File::open(&image.archive).unwrap())
        .unwrap()
        .footer()
        .clone();
    let length = whole.len() as u64;
    let sections = footer.sections.iter();
    let mut cuts: Vec<u64> = sections
        .flat_map(|record| [record.offset, record.end()])
        .chain([0, 54, footer.clip_bytes, length - 4096, length])
        .flat_map(|bound| [bound.saturating_sub(1), bound, bound + 1])
        .filter(|cut| *cut < length)
        .collect();
    let mut chance = Chance::of(5, 1);
    cuts.extend((0..200).map(|_| chance.below(length)));
    let node = Node::start(directory.path(), &[]);
    let at = folder(directory.path(), "mnt");
    let known = [
        "ARCHIVE_NOT_CLIP",
        "ARCHIVE_NOT_LAZY",
        "ARCHIVE_TRUNCATED",
        "ARCHIVE_CORRUPT",
    ];
    let daemon = node.daemon_pid();
    for (number, cut) in cuts.into_iter().enumerate() {
        fs::write(&image.archive, &whole[..usize::try_from(cut).unwrap()]).unwrap();
        let mut request = image.request(&directory.path().join("cache"));
        request["engine"] = ENGINES[number % 2].into();
        let error = node.mount("m1", &request, &at).err();
        let code = error.map(|error| error["code"].as_str().unwrap().to_owned());
        let is_known = code.as_deref().is_some_and(|code| known.contains(&code));
        assert!(is_known, "cut at {cut}: {code:?}");
    }
    assert_eq!(node.daemon_pid(), daemon, "it never died");
    assert!(node.list().is_empty());
    assert_eq!(fs::read_dir(&node.state).unwrap().count(), 0);
    fs::write(&image.archive, &whole).unwrap();
    let request = image.request(&directory.path().join("cache"));
    node.mount("m1", &request, &at).unwrap();
    node.unmount(&at).unwrap();
}
