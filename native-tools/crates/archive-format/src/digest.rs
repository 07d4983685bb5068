//! Digests as the format stores them: raw 32 bytes.

use std::fmt::Write as _;

use ring::digest::{Context, SHA256};

/// A raw SHA-256 or BLAKE3 value.
pub type Digest = [u8; 32];

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(bytes);
    hasher.finish()
}

/// BLAKE3 of `bytes`: the digest of chunks and windows.
#[must_use]
pub fn blake3(bytes: &[u8]) -> Digest {
    *blake3::hash(bytes).as_bytes()
}

/// SHA-256 over bytes that come in parts.
#[derive(Clone)]
pub struct Sha256(Context);

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sha256")
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl Sha256 {
    /// Nothing hashed yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        out
    }
}

/// 64 lower-case hex characters.
#[must_use]
pub fn hex(digest: &Digest) -> String {
    digest
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// `sha256:` and the hex, as manifests write it.
#[must_use]
pub fn oci(digest: &Digest) -> String {
    format!("sha256:{}", hex(digest))
}

/// Reads `sha256:` and 64 lower-case hex characters; anything else is `None`.
#[must_use]
pub fn parse_oci(text: &str) -> Option<Digest> {
    let hex = text.strip_prefix("sha256:")?.as_bytes();
    if hex.len() != 64 {
        return None;
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = match pair {
            [high, low] => nibble(*high)? << 4 | nibble(*low)?,
            _ => return None,
        };
    }
    Some(out)
}

fn nibble(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_survives_its_text() {
        let digest = sha256(b"hello");
        assert_eq!(
            oci(&digest),
            "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
        assert_eq!(parse_oci(&oci(&digest)), Some(digest));
    }

    #[test]
    fn other_texts_are_no_digest() {
        let good = oci(&sha256(b""));
        for bad in [
            "",
            "sha256:",
            &good[..70],
            &good.to_uppercase(),
            &format!("{good}0"),
        ] {
            assert_eq!(parse_oci(bad), None, "{bad}");
        }
    }
}
