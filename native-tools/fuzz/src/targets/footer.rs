//! The footer: what is read is written again byte for byte.

use archive_format::digest::sha256;
use archive_format::footer::{FOOTER_BYTES, Footer};

pub(crate) fn run(input: &[u8]) {
    let _ = Footer::decode(input);
    let mut bytes = input.to_vec();
    bytes.resize(FOOTER_BYTES, 0);
    let digest = sha256(&bytes[..FOOTER_BYTES - 32]);
    bytes[FOOTER_BYTES - 32..].copy_from_slice(&digest);
    if let Ok(footer) = Footer::decode(&bytes) {
        assert_eq!(footer.encode().as_deref().ok(), Some(&bytes[..]));
    }
}
