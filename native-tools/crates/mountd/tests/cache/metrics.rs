//! What the daemon counts of it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::SystemTime;

use archive_format::digest::oci;

use super::support::TestImage;
use super::support::daemon::{Node, folder, text};
use super::{SMALL, read_all, with_login};

/// The samples of a metrics page by name and labels. Fails on a line that is not of the text format.
pub(super) fn samples(socket: &Path) -> BTreeMap<String, f64> {
    let answer = ask(socket, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("version=0.0.4"));
    let mut typed = BTreeMap::new();
    let mut found = BTreeMap::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(typed.insert(name.to_owned(), kind.to_owned()).is_none());
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let family = name.split('{').next().unwrap();
            let parts = ["", "_bucket", "_sum", "_count"];
            assert!(
                parts.iter().any(|part| family
                    .strip_suffix(part)
                    .is_some_and(|f| typed.contains_key(f))),
                "{line}"
            );
            found.insert(name.to_owned(), value.parse().unwrap());
        }
    }
    found
}

fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn metrics_say_what_the_daemon_did_and_never_go_down() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let socket = directory.path().join("metrics");
    let node = Node::start(directory.path(), &["--metrics", &text(&socket)]);
    let mountpoint = folder(directory.path(), "mnt");
    let request = with_login(&image.request(&directory.path().join("cache")), "bob");
    node.mount("m1", &request, &mountpoint).unwrap();
    read_all(&image, &mountpoint);
    let stat = node.stat(&mountpoint).unwrap();
    let mounted = samples(&socket);
    let name = |rest: &str| format!("clipyard_mountd_{rest}");
    let engines = mounted[&name("mounts_erofs")] + mounted[&name("mounts_fuse")];
    assert_eq!(engines, 1.0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let ran = now.unwrap().as_secs_f64() - mounted["process_start_time_seconds"];
    assert!(
        (0.0..600.0).contains(&ran),
        "counters begin with the process: {ran}"
    );
    assert_eq!(
        Some(mounted[&name("fetched_bytes_total")]),
        stat["fetchedBytes"].as_f64()
    );
    let proven = mounted[&name("chunks_proven_total{tier=\"registry\"}")];
    assert_eq!(Some(proven), stat["chunksVerified"].as_f64());
    let answered = mounted[&name("answers_total{source=\"registry\",class=\"2xx\"}")];
    assert!(answered >= 1.0);
    assert!(mounted[&name("wait_seconds_count")] >= 1.0);
    assert!(mounted[&name("cache_bytes")] >= 900_000.0);
    image.server.remove(&oci(&image.tables[0].digest));
    node.unmount(&mountpoint).unwrap();
    let after = samples(&socket);
    assert_eq!(
        after[&name("mounts_erofs")] + after[&name("mounts_fuse")],
        0.0
    );
    for (name, value) in &mounted {
        if name.contains("_total") || name.contains("_bucket") {
            assert!(after[name] >= *value, "{name} went down");
        }
    }
    let page = ask(&socket, "GET /metrics HTTP/1.0\r\n\r\n");
    for secret in ["hunter2", "bob", "team/app", "127.0.0.1"] {
        assert!(!page.contains(secret), "{secret}");
    }
    for (asked, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ("\r\n\r\n", "405"),
    ] {
        assert!(ask(&socket, asked).starts_with(&format!("HTTP/1.1 {status}")));
    }
}
