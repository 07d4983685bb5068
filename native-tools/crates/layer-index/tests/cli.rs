//! The program as its caller sees it: requests in, events out, exit codes, nothing left behind.
#![allow(
    missing_docs,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test program"
)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use archive_format::digest::{oci, sha256};
use layer_index::request::{
    AssembleRequest, PackControl, PackRequest, UnpackErofsRequest, VerifyRequest,
};
use serde_json::{Value, json};
use support::layers::{Bench, PLAIN, ZSTD, noise};
use support::{Spec, tar};
use tool_protocol::Event;

struct Tool {
    child: Child,
    stdin: ChildStdin,
}

fn start(command: &str, request: &Value) -> Tool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_clipyard-index"))
        .arg(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // a program that refuses its command may be gone already
    let _ = stdin.write_all(format!("{request}\n").as_bytes());
    Tool { child, stdin }
}

/// Runs to the end with stdin open; events and whether the exit code was 0.
fn run(command: &str, request: &Value) -> (Vec<Event>, bool) {
    let Tool { mut child, stdin } = start(command, request);
    let mut out = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .unwrap();
    let is_success = child.wait().unwrap().success();
    drop(stdin);
    let events = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (events, is_success)
}

fn result(command: &str, request: &Value) -> Value {
    let (events, is_success) = run(command, request);
    assert!(is_success, "{events:?}");
    match events.last() {
        Some(Event::Result { id, result, .. }) if id.is_empty() => result.clone(),
        other => panic!("no result: {other:?}"),
    }
}

fn code(command: &str, request: &Value) -> String {
    let (events, is_success) = run(command, request);
    assert!(!is_success, "{events:?}");
    match events.last() {
        Some(Event::Error { code, .. }) => code.clone(),
        other => panic!("no error: {other:?}"),
    }
}

fn pack_request(bench: &Bench, tars: &[Vec<u8>]) -> Value {
    let layers: Vec<Value> = tars
        .iter()
        .enumerate()
        .map(|(at, tar)| {
            let path = |name: &str| bench.path(&format!("{at}.{name}"));
            fs::write(path("tar"), tar).unwrap();
            json!({
                "id": at.to_string(), "source": path("tar"), "mediaType": PLAIN, "diffId": oci(&sha256(tar)),
                "expectedDigest": oci(&sha256(tar)), "expectedSize": tar.len(),
                "action": {"kind": "pack", "codec": "zstd", "level": 1, "output": path("blob")}, "index": path("idx"),
            })
        })
        .collect();
    json!({"v": 1, "jobs": 2, "chunkBytes": 65536, "layers": layers})
}

fn layer_result(events: &[Event], wanted: &str) -> Value {
    events
        .iter()
        .find_map(|event| match event {
            Event::Result { id, result, .. } if id == wanted => Some(result.clone()),
            _ => None,
        })
        .unwrap()
}

/// Packs layers and says how to make an archive of them.
fn assemble_request(bench: &Bench, tars: &[Vec<u8>]) -> Value {
    let (events, is_success) = run("pack", &pack_request(bench, tars));
    assert!(is_success, "{events:?}");
    let results: Vec<Value> = (0..tars.len())
        .map(|at| layer_result(&events, &at.to_string()))
        .collect();
    let diff_ids: Vec<&Value> = results.iter().map(|result| &result["diffId"]).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}).to_string();
    let descriptors: Vec<Value> = results
        .iter()
        .map(|result| json!({"mediaType": ZSTD, "digest": result["digest"], "size": result["sizeBytes"]}))
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": oci(&sha256(config.as_bytes())), "size": config.len()},
        "layers": descriptors,
    })
    .to_string();
    fs::write(bench.path("config"), &config).unwrap();
    fs::write(bench.path("manifest"), &manifest).unwrap();
    let layers: Vec<Value> = results
        .iter()
        .enumerate()
        .map(|(at, result)| json!({"index": bench.path(&format!("{at}.idx")), "digest": result["digest"], "mediaType": ZSTD}))
        .collect();
    json!({
        "v": 1, "output": bench.path("image.clip"), "layers": layers, "config": bench.path("config"), "manifest": bench.path("manifest"),
        "storage": {"registry": "127.0.0.1:5000", "repository": "a/b", "reference": oci(&sha256(manifest.as_bytes()))},
        "imageName": "127.0.0.1:5000/a/b:ws-img",
    })
}

fn image() -> Vec<Vec<u8>> {
    let odd = Spec::file("odd", "data")
        .pax("GNU.sparse.size", "5000")
        .pax("GNU.sparse.numblocks", "1")
        .pax("GNU.sparse.map", "4097,4");
    vec![
        tar(&[
            Spec::directory("d"),
            Spec::file("d/f", noise(100_000, 1)),
            Spec::symlink("l", "d/f"),
            odd,
        ]),
        tar(&[Spec::file("d/.wh.f", ""), Spec::file("g", "small")]),
        tar(&[
            Spec::directory("d"),
            Spec::file("d/f", noise(100_000, 1)),
            Spec::symlink("l", "d/f"),
        ]),
    ]
}

#[test]
fn every_golden_request_is_understood() {
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../test/golden/protocol/requests");
    for entry in fs::read_dir(golden).unwrap() {
        let path = entry.unwrap().path();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let outcome = match path.file_stem().unwrap().to_str().unwrap() {
                "pack" => serde_json::from_str::<PackRequest>(line)
                    .map(|request| request.into_jobs().map(drop)),
                "assemble" => serde_json::from_str::<AssembleRequest>(line)
                    .map(|request| request.into_job().map(drop)),
                "verify" => serde_json::from_str::<VerifyRequest>(line).map(|_| Ok(())),
                "unpack-erofs" => serde_json::from_str::<UnpackErofsRequest>(line).map(|_| Ok(())),
                other => panic!("a golden request for {other}"),
            };
            outcome.unwrap().unwrap();
        }
    }
}

#[test]
fn every_golden_control_line_is_understood() {
    let golden = include_str!("../../../../test/golden/protocol/control.jsonl");
    for line in golden.lines() {
        serde_json::from_str::<PackControl>(line).unwrap();
    }
}

#[test]
fn an_archive_is_packed_assembled_and_verified_the_same_every_time() {
    let archives: Vec<Vec<u8>> = (0..2)
        .map(|_| {
            let bench = Bench::new(4096);
            let assembled = result("assemble", &assemble_request(&bench, &image()));
            let archive = fs::read(bench.path("image.clip")).unwrap();
            assert_eq!(assembled["digest"], oci(&sha256(&archive)));
            assert_eq!(assembled["sizeBytes"], archive.len());
            let verified = result(
                "verify",
                &json!({"v": 1, "archive": bench.path("image.clip")}),
            );
            assert_eq!(
                (&verified["kind"], &verified["entries"]),
                (&json!("clipyard"), &assembled["entries"])
            );
            archive
        })
        .collect();
    assert!(archives[0] == archives[1]);
}

#[test]
fn the_metadata_image_names_its_devices_in_order() {
    let bench = Bench::new(4096);
    let layers = image();
    result("assemble", &assemble_request(&bench, &layers));
    let unpacked = result(
        "unpack-erofs",
        &json!({"v": 1, "archive": bench.path("image.clip"), "output": bench.path("meta.erofs")}),
    );
    let devices = unpacked["devices"].as_array().unwrap();
    let names: Vec<String> = layers.iter().map(|tar| oci(&sha256(tar))).collect();
    assert_eq!(
        devices[..3],
        names.iter().map(|name| json!(name)).collect::<Vec<_>>()
    );
    assert!(devices[3].as_str().unwrap().starts_with("extra:sha256:"));
    assert_eq!(
        fs::read(bench.path("meta.erofs")).unwrap()[1024..1028],
        0xE0F5_E1E2_u32.to_le_bytes()
    );
}

#[test]
fn bad_requests_are_usage_errors() {
    let bench = Bench::new(4096);
    let good = pack_request(&bench, &[]);
    let with = |key: &str, value: Value| {
        let mut request = good.clone();
        request[key] = value;
        request
    };
    for (command, request) in [
        ("pack", with("v", json!(2))),
        ("pack", with("jobs", json!(0))),
        ("pack", with("chunkBytes", json!(5000))),
        ("pack", with("unknown", json!(1))),
        ("pack", with("layers", json!([{"id": "x"}]))),
        ("verify", json!({"v": 2, "archive": "/x"})),
        ("dance", json!({})),
    ] {
        assert_eq!(code(command, &request), "USAGE", "{command} {request}");
    }
}

#[test]
fn errors_carry_their_codes_and_their_layer() {
    let bench = Bench::new(4096);
    let mut request = pack_request(&bench, &image());
    request["layers"][1]["diffId"] = json!(oci(&[0; 32]));
    let (events, is_success) = run("pack", &request);
    assert!(!is_success);
    match events.last() {
        Some(Event::Error {
            id, code, details, ..
        }) => {
            assert_eq!((id.as_str(), code.as_str()), ("1", "DIFF_ID_MISMATCH"));
            assert_eq!(details["expected"], oci(&[0; 32]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        code("verify", &json!({"v": 1, "archive": "/nowhere"})),
        "PATH_NOT_FOUND"
    );
    assert_eq!(
        code("verify", &json!({"v": 1, "archive": bench.path("0.tar")})),
        "ARCHIVE_NOT_CLIP"
    );

    let mut assemble = assemble_request(&bench, &image());
    assemble["layers"][0]["digest"] = json!(oci(&[0; 32]));
    assert_eq!(code("assemble", &assemble), "ARCHIVE_MISMATCH");
    assemble["layers"][0]["index"] = json!(bench.path("config"));
    assert_eq!(code("assemble", &assemble), "LAYER_INDEX_INVALID");
    assert!(!bench.path("image.clip").exists());
}

/// A request that waits: its layer comes out of a pipe that nobody fills.
fn endless(bench: &Bench) -> Value {
    let pipe = bench.path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let mut request = pack_request(bench, &[tar(&[])]);
    request["layers"][0]["source"] = json!(pipe);
    request["layers"][0]["expectedSize"] = Value::Null;
    request
}

/// Feeds the pipe with an endless file until its reader goes away.
fn feed(pipe: &Path) -> thread::JoinHandle<()> {
    let pipe = pipe.to_owned();
    thread::spawn(move || {
        let mut out = fs::OpenOptions::new().write(true).open(pipe).unwrap();
        let _ = out.write_all(
            &Spec::file("big", "")
                .with(|spec| spec.size = Some(1 << 40))
                .bytes(),
        );
        while out.write_all(&[7; 65536]).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    })
}

fn wait_for_progress(child: &mut Child) -> BufReader<std::process::ChildStdout> {
    let mut events = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    events.read_line(&mut line).unwrap();
    assert!(line.contains("progress"), "{line}");
    events
}

#[test]
fn the_end_of_stdin_and_sigterm_stop_the_work_and_leave_nothing() {
    for by_signal in [false, true] {
        let bench = Bench::new(4096);
        let request = endless(&bench);
        let Tool { mut child, stdin } = start("pack", &request);
        let feeder = feed(&bench.path("pipe"));
        let mut events = wait_for_progress(&mut child);
        let stdin = by_signal.then_some(stdin);
        if by_signal {
            let pid = child.id().to_string();
            assert!(
                Command::new("kill")
                    .args(["-TERM", &pid])
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let mut rest = String::new();
        events.read_to_string(&mut rest).unwrap();
        assert!(!child.wait().unwrap().success());
        drop((stdin, events));
        feeder.join().unwrap();
        let last: Event = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
        assert!(
            matches!(last, Event::Error { code, .. } if code == "CANCELED"),
            "{rest}"
        );
        assert_eq!(bench.names(), ["0.tar", "pipe"]);
    }
}
