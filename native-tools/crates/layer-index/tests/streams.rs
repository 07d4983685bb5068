//! Layers that come over a socket, blobs that are followed while they grow, levels that change on the way.
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

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use archive_format::digest::{oci, sha256};
use layer_index::pack::{
    Encoding, LayerJob, LayerReport, Observer, Origin, WRITTEN_STEP, pack_layers,
};
use layer_index::{IndexError, Stop};
use serde_json::json;
use support::layers::{Bench, GZIP, PLAIN, noise};
use support::{Spec, tar};
use tool_protocol::Coded;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn layer() -> Vec<u8> {
    tar(&[
        Spec::file("noise", noise(3 << 20, 7)),
        Spec::file("zeros", vec![0; 1 << 20]),
    ])
}

/// Answers one connection with `bytes`; the line it was asked with.
fn serve(bench: &Bench, bytes: Vec<u8>) -> (Origin, thread::JoinHandle<String>) {
    let path = bench.path("feed");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let asked = line_of(&socket);
        // a reader that has seen enough hangs up
        let _ = socket.write_all(&bytes);
        asked
    });
    (Origin::Socket(path), server)
}

fn line_of(socket: &UnixStream) -> String {
    let mut line = String::new();
    BufReader::new(socket.try_clone().unwrap())
        .read_line(&mut line)
        .unwrap();
    line
}

fn streamed(
    blob: &[u8],
    served: Vec<u8>,
    media_type: &str,
) -> (Result<(), IndexError>, String, Vec<String>) {
    let bench = Bench::new(64 << 10);
    let (source, server) = serve(&bench, served);
    let job = LayerJob {
        source,
        expected_digest: Some(sha256(blob)),
        expected_size: Some(blob.len() as u64),
        ..bench.job("in", b"", media_type, None)
    };
    let outcome = bench.run(&job).map(drop);
    (outcome, server.join().unwrap(), bench.names())
}

#[test]
fn a_layer_from_a_socket_gives_the_index_of_the_file() {
    let plain = layer();
    for (blob, media_type) in [(gzip(&plain), GZIP), (plain.clone(), PLAIN)] {
        let bench = Bench::new(64 << 10);
        let file = bench.job("file", &blob, media_type, None);
        bench.run(&file).unwrap();
        let (source, server) = serve(&bench, blob.clone());
        let job = LayerJob {
            source,
            diff_id: Some(sha256(&plain)),
            expected_digest: Some(sha256(&blob)),
            expected_size: Some(blob.len() as u64),
            ..bench.job("socket", b"", media_type, None)
        };
        bench.run(&job).unwrap();
        assert_eq!(server.join().unwrap(), format!("{}\n", oci(&sha256(&blob))));
        assert_eq!(
            std::fs::read(&job.index).unwrap(),
            std::fs::read(&file.index).unwrap()
        );
    }
}

#[test]
fn wrong_bytes_from_a_socket_are_told_as_a_wrong_blob() {
    let plain = layer();
    for (blob, media_type) in [(gzip(&plain), GZIP), (plain.clone(), PLAIN)] {
        let mut damaged = blob.clone();
        damaged[300] ^= 1; // in a header of the tar, or where the decoder stumbles
        let longer = [&blob[..], &blob[..]].concat();
        for served in [damaged, blob[..blob.len() / 2].to_vec(), Vec::new(), longer] {
            let (outcome, _, names) = streamed(&blob, served, media_type);
            assert_eq!(outcome.unwrap_err().code(), "BLOB_MISMATCH");
            assert!(
                !names.iter().any(|name| name.ends_with(".idx")),
                "{names:?}"
            );
        }
    }
}

#[test]
fn a_bad_layer_that_is_the_blob_asked_for_keeps_its_own_code() {
    let blob = gzip(&layer()[..700]);
    let (outcome, ..) = streamed(&blob, blob.clone(), GZIP);
    assert_eq!(outcome.unwrap_err().code(), "LAYER_TRUNCATED");
}

#[test]
fn a_socket_that_says_nothing_does_not_keep_the_tool_from_stopping() {
    let bench = Bench::new(64 << 10);
    let path = bench.path("feed");
    let listener = UnixListener::bind(&path).unwrap();
    let job = LayerJob {
        source: Origin::Socket(path),
        expected_digest: Some([1; 32]),
        ..bench.job("in", b"", GZIP, None)
    };
    let stop = Stop::new();
    let outcome = thread::scope(|scope| {
        let work = scope.spawn(|| {
            pack_layers(
                std::slice::from_ref(&job),
                &bench.options,
                &support::layers::Reports::default(),
                &stop,
            )
        });
        let _held = listener.accept().unwrap();
        stop.raise();
        work.join().unwrap()
    });
    assert_eq!(outcome.unwrap_err().error.code(), "CANCELED");
}

#[derive(Default)]
struct Growth(Mutex<Vec<u64>>);

impl Observer for Growth {
    fn progress(&self, _id: &str, _done_bytes: u64, _total_bytes: Option<u64>) {}
    fn written(&self, _id: &str, written_bytes: u64) {
        self.0.lock().unwrap().push(written_bytes);
    }
    fn layer_done(&self, _id: &str, report: &LayerReport) {
        self.0.lock().unwrap().push(report.size_bytes);
    }
}

#[test]
fn a_growing_blob_is_told_in_steps() {
    let bench = Bench::new(64 << 10);
    let job = bench.job("in", &layer(), PLAIN, Some(Encoding::Zstd(1)));
    let growth = Growth::default();
    pack_layers(
        std::slice::from_ref(&job),
        &bench.options,
        &growth,
        &Stop::new(),
    )
    .unwrap();
    let told = growth.0.into_inner().unwrap();
    assert!(told.len() > 1, "{told:?}");
    assert!(told[0] >= WRITTEN_STEP);
    assert!(
        told.windows(2).all(|pair| pair[0] < pair[1]),
        "in order: {told:?}"
    );
}

/// Text that a strong level makes smaller than a weak one.
fn prose() -> Vec<u8> {
    let words = noise(4096, 9);
    (0..600_000usize)
        .flat_map(|at| {
            let pick = usize::from(words[at * 7919 % 4096]) % 97 * 40;
            words[pick..pick + 4 + at % 5].to_vec()
        })
        .collect()
}

#[test]
fn the_level_can_change_while_the_work_runs() {
    let plain = tar(&[Spec::file("prose", prose())]);
    let mut bench = Bench::new(256 << 10);
    let weak = bench
        .run(&bench.job("weak", &plain, PLAIN, Some(Encoding::Zstd(1))))
        .unwrap();
    let strong = bench
        .run(&bench.job("strong", &plain, PLAIN, Some(Encoding::Zstd(12))))
        .unwrap();
    assert!(strong.blob.len() < weak.blob.len());
    bench.options.level = Default::default();
    assert!(bench.options.level.set(12));
    assert!(!bench.options.level.set(20));
    assert!(!bench.options.level.set(0));
    let set = bench
        .run(&bench.job("set", &plain, PLAIN, Some(Encoding::Zstd(1))))
        .unwrap();
    assert_eq!(set.blob, strong.blob);
}

#[test]
fn a_control_line_changes_the_level_and_other_lines_are_left_aside() {
    let plain = tar(&[Spec::file("prose", prose())]);
    let bench = Bench::new(256 << 10);
    let strong = bench
        .run(&bench.job("strong", &plain, PLAIN, Some(Encoding::Zstd(12))))
        .unwrap();
    let path = bench.path("feed");
    let listener = UnixListener::bind(&path).unwrap();
    let request = json!({ "v": 1, "jobs": 2, "chunkBytes": 256 << 10, "layers": [{
        "id": "0", "source": format!("socket:{}", path.display()), "mediaType": PLAIN,
        "expectedDigest": oci(&sha256(&plain)),
        "action": { "kind": "pack", "codec": "zstd", "level": 1, "output": bench.path("blob") },
        "index": bench.path("index"),
    }]});
    let mut child = Command::new(env!("CARGO_BIN_EXE_clipyard-index"))
        .arg("pack")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(format!("{request}\n{{\"level\":12}}\nnonsense\n").as_bytes())
        .unwrap();
    // lines are taken in order: when the last one is complained about, the level is set
    let mut complaint = String::new();
    BufReader::new(child.stderr.take().unwrap())
        .read_line(&mut complaint)
        .unwrap();
    assert!(complaint.contains("nonsense"), "{complaint}");
    let (mut socket, _) = listener.accept().unwrap();
    line_of(&socket);
    socket.write_all(&plain).unwrap();
    drop(socket);
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(std::fs::read(bench.path("blob")).unwrap(), strong.blob);
}

#[test]
fn a_socket_without_a_digest_to_ask_for_is_refused() {
    let request = json!({ "v": 1, "jobs": 1, "chunkBytes": 4096, "layers": [{
        "id": "0", "source": "socket:/x", "mediaType": GZIP, "action": { "kind": "keep" }, "index": "/x.idx",
    }]});
    let request: layer_index::request::PackRequest = serde_json::from_value(request).unwrap();
    assert_eq!(request.into_jobs().unwrap_err().code(), "USAGE");
}
