//! Section `layers`: what is read holds its own rules and is written again byte for byte.

use archive_format::tables::{decode, encode};

pub(crate) fn run(input: &[u8]) {
    let Ok(tables) = decode(input) else { return };
    for table in &tables {
        table
            .check()
            .expect("a table that was read holds its rules");
    }
    assert_eq!(encode(&tables).as_deref().ok(), Some(input));
}
