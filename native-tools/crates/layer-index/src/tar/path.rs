//! Names as engines clean them: lexically, inside the root.

/// The components of `path` with `.`, empty ones and `..` worked out lexically; `..` stops at the root.
#[must_use]
pub fn components(path: &[u8]) -> Vec<&[u8]> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                kept.pop();
            }
            name => kept.push(name),
        }
    }
    kept
}

/// `path` relative to the root: no leading, trailing or double `/`, no `.` and `..`; empty for the root.
#[must_use]
pub fn clean_path(path: &[u8]) -> Vec<u8> {
    components(path).join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_inside_the_root() {
        for (raw, clean) in [
            ("a/b", "a/b"),
            ("/a//b/", "a/b"),
            ("./a/./b", "a/b"),
            ("../../etc/passwd", "etc/passwd"),
            ("a/../../b", "b"),
            ("", ""),
            ("./", ""),
            ("/", ""),
            ("..", ""),
            ("a/b/..", "a"),
        ] {
            assert_eq!(clean_path(raw.as_bytes()), clean.as_bytes(), "{raw}");
        }
    }
}
