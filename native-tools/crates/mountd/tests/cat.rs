//! Files and proofs without a mount.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use archive_format::digest::{hex, oci, sha256};
use serde_json::Value;
use support::TestImage;
use support::daemon::copy_program;
use support::testing::server::Fault;
use support::testing::{Stored, assert_same};

const LAYERS: &[(Stored, &[usize])] = &[
    (Stored::ZstdFrames, &[1, 300_000]),
    (Stored::GzipWhole, &[90_000]),
];

/// The last event and whether the program ended well. Runs as nobody: neither root nor FUSE is needed.
fn cat(request: &Value, directory: &Path) -> (Value, bool) {
    let program = directory.join("clipyard-mountd");
    if !program.exists() {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
        copy_program(&program);
    }
    let mut child = Command::new(program)
        .arg("cat")
        .uid(65_534)
        .gid(65_534)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{request}").unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let text = String::from_utf8(output.stdout).unwrap();
    (
        serde_json::from_str(text.lines().last().unwrap()).unwrap(),
        output.status.success(),
    )
}

#[test]
fn a_file_is_written_out_with_its_digest() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let out = directory.path().join("out");
    let mut request = image.request(&directory.path().join("cache"));
    request["output"] = out.to_str().unwrap().into();
    for (name, bytes) in &image.files {
        let _ = fs::remove_file(&out);
        request["path"] = format!("/{name}").into();
        let (event, well) = cat(&request, directory.path());
        assert!(well, "{event}");
        assert_eq!(
            event["result"],
            serde_json::json!({ "sizeBytes": bytes.len(), "sha256": hex(&sha256(bytes)) })
        );
        assert_same(fs::read(&out).unwrap(), bytes, "");
    }
}

#[test]
fn what_is_no_file_has_its_code() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let mut request = image.request(&directory.path().join("cache"));
    request["output"] = directory.path().join("out").to_str().unwrap().into();
    for (path, code) in [
        ("/", "NOT_A_REGULAR_FILE"),
        ("/missing", "PATH_NOT_FOUND"),
        ("/f0-0/below", "PATH_NOT_FOUND"),
    ] {
        request["path"] = path.into();
        let (event, well) = cat(&request, directory.path());
        assert!(!well);
        assert_eq!(event["code"], code, "{path}: {event}");
    }
    assert!(!directory.path().join("out").exists());
    image.server.remove(&oci(&image.tables[0].digest));
    request["path"] = "/f0-1".into();
    assert_eq!(cat(&request, directory.path()).0["code"], "LAYER_NOT_FOUND");
}

#[test]
fn verifying_all_reads_every_layer_from_the_registry() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), LAYERS);
    let mut request = image.request(&directory.path().join("cache"));
    request["verifyAll"] = true.into();
    let bytes: usize = image.streams.iter().map(Vec::len).sum();
    let (event, well) = cat(&request, directory.path());
    assert!(well, "{event}");
    assert_eq!(
        event["result"],
        serde_json::json!({ "layers": 2, "bytes": bytes })
    );
    image.server.fail_next([Fault::Flip(1000)]);
    let (event, well) = cat(&request, directory.path());
    assert!(!well);
    assert_eq!(event["code"], "BLOB_MISMATCH", "{event}");
}
