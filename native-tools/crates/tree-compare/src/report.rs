use std::collections::BTreeMap;

use serde::Serialize;

/// One field of one path that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// From the root of the trees; bytes that are no printable ASCII or valid UTF-8 as `\xNN`.
    pub path: String,
    /// `presence`, `type`, `mode`, …, `xattr:NAME`.
    pub field: String,
    /// The value in the first tree, as a person reads it; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// The value in the second tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right: Option<String>,
}

/// What a comparison found.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Paths that both trees have.
    pub entries: u64,
    /// Bytes of content that were compared.
    pub content_bytes: u64,
    /// All differences, also those that are not listed.
    pub differences: u64,
    /// How many differences each field has; `xattr` stands for all attributes.
    pub fields: BTreeMap<String, u64>,
    /// Attributes and devices that archives leave out on purpose and that were passed over.
    pub left_out: u64,
    /// The first differences in the order of the walk.
    pub first: Vec<Difference>,
}

impl Report {
    pub(crate) fn add(&mut self, difference: Difference, limit: usize) {
        self.differences += 1;
        let field = difference
            .field
            .split_once(':')
            .map_or(difference.field.as_str(), |(head, _)| head);
        *self.fields.entry(field.to_owned()).or_default() += 1;
        if self.first.len() < limit {
            self.first.push(difference);
        }
    }
}

/// A name as text that can be told from every other: what is no valid UTF-8, a control character or a backslash becomes `\xNN`.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char.is_control() || char == '\\' {
                let mut buffer = [0; 4];
                escape(&mut text, char.encode_utf8(&mut buffer).as_bytes());
            } else {
                text.push(char);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str(&format!("\\x{byte:02x}"));
    }
}
