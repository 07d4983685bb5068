//! Which kernel this is.

/// Major and minor version, `(0, 0)` when it does not say.
#[must_use]
pub fn version() -> (u32, u32) {
    let name = rustix::system::uname();
    parse(&name.release().to_string_lossy())
}

/// `6.18.44-generic` → (6, 18).
fn parse(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or_default());
    (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_begins_with_major_and_minor() {
        assert_eq!(parse("6.18.44-fc"), (6, 18));
        assert_eq!(parse("7.0-rc1"), (7, 0));
        assert_eq!(parse("strange"), (0, 0));
        assert!(version() > (3, 0));
    }
}
