//! How far ahead the kernel reads the files of a filesystem: `read_ahead_kb` of its backing device in sysfs (Linux
//! ABI/testing/sysfs-class-bdi). No mount tells which device is its own, so it is found by being new.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

const DEVICES: &str = "/sys/class/bdi";

/// Two that are made at the same time could not be told apart.
static ALONE: Mutex<()> = Mutex::new(());

/// Makes a filesystem of a type (`erofs`) and has the kernel read at most `kib` KiB ahead in it. The kernel's own setting stays
/// where that does not work: without sysfs, or when another process makes one of the type at this moment.
///
/// # Errors
/// Those of `make`.
pub fn limited<T, E>(
    filesystem: &str,
    kib: u32,
    make: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = devices(filesystem);
    let made = make()?;
    let now = devices(filesystem);
    let mut new = now.difference(&before);
    if let (Some(device), None) = (new.next(), new.next()) {
        // A setting for speed: a mount without it is as good.
        let _ = fs::write(
            Path::new(DEVICES).join(device).join("read_ahead_kb"),
            kib.to_string(),
        );
    }
    Ok(made)
}

/// `erofs-7`: the type, and a number that is given once.
fn devices(filesystem: &str) -> BTreeSet<OsString> {
    let entries = fs::read_dir(DEVICES).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    names
        .filter(|name| {
            let name = name.to_string_lossy();
            let number = name
                .strip_prefix(filesystem)
                .and_then(|rest| rest.strip_prefix('-'));
            number.is_some_and(|number| number.parse::<u64>().is_ok())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_nothing_new_sets_nothing_and_its_error_is_given() {
        assert_eq!(limited("erofs", 64, || Ok::<_, ()>(7)), Ok(7));
        assert_eq!(
            limited("erofs", 64, || Err::<(), _>("refused")),
            Err("refused")
        );
    }

    #[test]
    fn devices_of_other_types_are_not_taken() {
        assert!(devices("no filesystem").is_empty());
    }
}
