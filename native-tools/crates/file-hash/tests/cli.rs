//! The tool as its caller sees it.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use tempfile::TempDir;

/// SHA-256 of nothing and of "abc" (FIPS 180-2, appendix B.1).
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn listed(path: &Path) -> Value {
    let stat = fs::symlink_metadata(path).unwrap();
    let changed_ns = i128::from(stat.ctime()) * 1_000_000_000 + i128::from(stat.ctime_nsec());
    json!([
        path.to_str().unwrap(),
        stat.ino().to_string(),
        stat.size().to_string(),
        changed_ns.to_string()
    ])
}

fn batch(id: &str, files: &[Value]) -> String {
    json!({ "id": id, "files": files }).to_string()
}

/// Sends lines and reads as many events, then closes stdin; and whether it ended well then.
fn run(lines: &[String], events: usize) -> (Vec<Value>, bool) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_clipyard-hash"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for line in lines {
        let _ = writeln!(stdin, "{line}");
    }
    let said = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .take(events)
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    drop(stdin);
    (said, child.wait().unwrap().success())
}

fn hello() -> String {
    json!({ "v": 1 }).to_string()
}

#[test]
fn digests_come_by_batch_in_the_order_of_the_files() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("abc"), "abc").unwrap();
    fs::write(path("none"), "").unwrap();
    // Longer than the buffer, and not a multiple of it.
    fs::write(path("long"), vec![b'a'; 1_000_000]).unwrap();
    let (mut events, ended_well) = run(
        &[
            hello(),
            batch("1", &[listed(&path("none")), listed(&path("abc"))]),
            batch("0", &[listed(&path("long"))]),
            batch("empty", &[]),
        ],
        3,
    );
    events.sort_by_key(|event| event["id"].as_str().unwrap().to_owned());
    let results: Vec<&Value> = events.iter().map(|event| &event["result"]).collect();
    // FIPS 180-2, appendix B.3: a million times "a".
    let long = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    assert_eq!(
        results,
        [&json!([long]), &json!([NOTHING, ABC]), &json!([])]
    );
    assert!(ended_well);
}

#[test]
fn what_is_not_the_file_that_was_listed_is_not_read() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 8] = [
        ("gone", |path| fs::remove_file(path).unwrap()),
        ("longer", |path| {
            let mut file = File::options().append(true).open(path).unwrap();
            file.write_all(b"d").unwrap();
        }),
        ("another file", |path| {
            fs::rename(path, path.with_extension("old")).unwrap();
            fs::write(path, "abc").unwrap();
        }),
        ("a link", |path| {
            fs::rename(path, path.with_extension("old")).unwrap();
            symlink(path.with_extension("old"), path).unwrap();
        }),
        ("a folder", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("a pipe that nobody writes to", |path| {
            fs::remove_file(path).unwrap();
            mknodat(CWD, path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        }),
        ("a socket", |path| {
            fs::remove_file(path).unwrap();
            drop(UnixListener::bind(path).unwrap());
        }),
        ("a file below a file", |path| {
            let parent = path.parent().unwrap();
            fs::remove_dir_all(parent).unwrap();
            fs::write(parent, "").unwrap();
        }),
    ];
    for (what, change) in changes {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("in/file");
        fs::create_dir(directory.path().join("in")).unwrap();
        fs::write(&path, "abc").unwrap();
        let before = listed(&path);
        change(&path);
        let (events, _) = run(&[hello(), batch("7", &[before])], 1);
        assert_eq!(events[0]["code"], "CONTEXT_CHANGED", "{what}: {events:?}");
        assert_eq!(events[0]["id"], "7");
        assert_eq!(events[0]["details"]["at"], "0");
    }
}

#[test]
fn what_is_no_request_ends_with_an_error_and_not_in_waiting() {
    let wide = json!({ "id": "0", "files": [["\u{100}", "1", "1", "1"]] }).to_string();
    let many = json!({ "id": "0", "files": [["a", "1", "-1", "1"]] }).to_string();
    for lines in [
        vec!["{}".to_owned()],
        vec![json!({ "v": 2 }).to_string()],
        vec![hello(), "[".to_owned()],
        vec![hello(), batch("0", &[json!(["a", 1, 2, 3])])],
        vec![hello(), wide],
        vec![hello(), many],
    ] {
        let (events, _) = run(&lines, 1);
        assert!(
            ["USAGE", "CONTEXT_CHANGED"].contains(&events[0]["code"].as_str().unwrap()),
            "{lines:?}: {events:?}"
        );
    }
}

#[test]
fn the_end_of_stdin_ends_it() {
    let (events, ended_well) = run(&[hello()], 0);
    assert_eq!((events.len(), ended_well), (0, true));
}
