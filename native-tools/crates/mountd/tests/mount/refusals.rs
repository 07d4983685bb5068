//! What makes no mount, and says why.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::Command;

use archive_format::footer::SectionType;
use archive_format::read::Archive;

use super::SMALL;
use super::support::TestImage;
use super::support::daemon::{Node, copy_program, folder, is_mounted, serve};

#[test]
fn mount_points_that_do_not_fit_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let request = image.request(&directory.path().join("cache"));
    let at = |path: &std::path::Path| {
        let mut request = request.clone();
        request["mountpoint"] = path.to_str().unwrap().into();
        serve(request, directory.path()).err().unwrap()["code"].clone()
    };
    assert_eq!(at(&directory.path().join("missing")), "MOUNT_POINT_INVALID");
    assert_eq!(at(&image.archive), "MOUNT_POINT_INVALID");
    assert_eq!(at(directory.path()), "MOUNT_POINT_IN_USE");
    let daemon = serve(request.clone(), directory.path()).unwrap();
    assert_eq!(at(&daemon.mountpoint), "MOUNT_POINT_IN_USE");
}

#[test]
fn an_archive_that_is_no_archive_mounts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let request = image.request(&directory.path().join("cache"));
    let good = fs::read(&image.archive).unwrap();
    let mut flipped = good.clone();
    let archive = Archive::open(File::open(&image.archive).unwrap()).unwrap();
    let erofs = archive.footer().section(SectionType::Erofs).unwrap();
    flipped[usize::try_from(erofs.offset + erofs.stored_bytes / 2).unwrap()] ^= 1;
    for (bytes, codes) in [
        (
            b"garbage".to_vec(),
            vec!["ARCHIVE_NOT_CLIP", "ARCHIVE_TRUNCATED"],
        ),
        (
            good[..good.len() - 4096].to_vec(),
            vec!["ARCHIVE_TRUNCATED", "ARCHIVE_CORRUPT"],
        ),
        (flipped, vec!["ARCHIVE_CORRUPT"]),
    ] {
        fs::write(&image.archive, bytes).unwrap();
        let error = serve(request.clone(), directory.path()).err().unwrap();
        assert!(codes.contains(&error["code"].as_str().unwrap()), "{error}");
    }
    fs::remove_file(&image.archive).unwrap();
    assert_eq!(
        serve(request, directory.path()).err().unwrap()["code"],
        "IO_FAILED"
    );
    assert!(!is_mounted(&directory.path().join("mnt")));
}

#[test]
fn a_cache_on_a_filesystem_without_backing_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let refusal_of = |cache: &std::path::Path| {
        let mut request = image.request(cache);
        request["engine"] = "erofs".into();
        serve(request, directory.path()).err().unwrap()
    };
    let error = refusal_of(&memory.path().join("cache"));
    assert_eq!(error["code"], "CACHE_FILESYSTEM_UNSUPPORTED", "{error}");
    assert_eq!(error["details"]["filesystem"], "tmpfs");
    let layers: Vec<_> = ["upper", "work", "lower", "merged"]
        .map(|name| directory.path().join(name))
        .into();
    layers.iter().for_each(|path| fs::create_dir(path).unwrap());
    let options = format!(
        "upperdir={},workdir={},lowerdir={}",
        layers[0].display(),
        layers[1].display(),
        layers[2].display()
    );
    let mount = Command::new("mount")
        .args(["-t", "overlay", "over", "-o", &options])
        .arg(&layers[3])
        .status()
        .unwrap();
    assert!(mount.success());
    let error = refusal_of(&layers[3].join("cache"));
    assert!(
        Command::new("umount")
            .arg(&layers[3])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(error["code"], "CACHE_FILESYSTEM_UNSUPPORTED", "{error}");
    assert_eq!(error["details"]["filesystem"], "overlayfs");
    assert!(!is_mounted(&directory.path().join("mnt")));
}

#[test]
fn without_privilege_it_says_so() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(
        directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let program = directory.path().join("clipyard-mountd");
    copy_program(&program);
    let mut command = Command::new(program);
    let node = Node::start_with(command.uid(65_534).gid(65_534), directory.path(), &[]);
    let mut request = image.request(&directory.path().join("cache"));
    request["engine"] = "erofs".into();
    let error = node
        .mount("m1", &request, &folder(directory.path(), "mnt"))
        .unwrap_err();
    assert_eq!(error["code"], "PRIVILEGE_REQUIRED", "{error}");
}

#[test]
fn without_a_fuse_device_it_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let image = TestImage::make(directory.path(), SMALL);
    let mut command = Command::new("unshare");
    let hidden = "mount -t tmpfs none /dev && mknod /dev/null c 1 3 && exec \"$0\" \"$@\"";
    let program = env!("CARGO_BIN_EXE_clipyard-mountd");
    command.args(["-m", "sh", "-c", hidden, program]);
    let node = Node::start_with(&mut command, directory.path(), &[]);
    let request = image.request(&directory.path().join("cache"));
    let error = node
        .mount("m1", &request, &folder(directory.path(), "mnt"))
        .unwrap_err();
    assert_eq!(error["code"], "FUSE_UNAVAILABLE", "{error}");
    assert_eq!(fs::read_dir(&node.state).unwrap().count(), 0);
}
