//! Tars written by hand, so that tests can say exactly what is in them.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "shared by test programs that each use a part"
)]

pub mod layers;

use layer_index::entry::Entry;
use layer_index::tar::TarWalker;
use layer_index::{IndexError, Limits};

/// Which flavour of header is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    V7,
    Pax,
    Gnu,
}

/// An entry to write.
#[derive(Debug, Clone)]
pub struct Spec {
    pub flavour: Flavour,
    pub typeflag: u8,
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: i64,
    pub uid: i64,
    pub gid: i64,
    pub mtime: i64,
    pub device: (i64, i64),
    pub data: Vec<u8>,
    /// Size to claim instead of the data's.
    pub size: Option<i64>,
    pub pax: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Spec {
    pub fn new(typeflag: u8, name: impl AsRef<[u8]>) -> Self {
        Self {
            flavour: Flavour::Pax,
            typeflag,
            name: name.as_ref().to_vec(),
            link: Vec::new(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 1_700_000_000,
            device: (0, 0),
            data: Vec::new(),
            size: None,
            pax: Vec::new(),
        }
    }

    pub fn file(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        Self {
            data: data.as_ref().to_vec(),
            ..Self::new(b'0', name)
        }
    }

    pub fn directory(name: impl AsRef<[u8]>) -> Self {
        Self {
            mode: 0o755,
            ..Self::new(b'5', name)
        }
    }

    pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self {
            link: target.as_ref().to_vec(),
            ..Self::new(b'2', name)
        }
    }

    pub fn hard_link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self {
            link: target.as_ref().to_vec(),
            ..Self::new(b'1', name)
        }
    }

    pub fn pax(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.pax
            .push((key.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The entry's blocks, long names in the flavour's own way.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut pax = self.pax.clone();
        for (text, key, typeflag) in [(&self.name, "path", b'L'), (&self.link, "linkpath", b'K')] {
            if text.len() <= 100 {
                continue;
            }
            if self.flavour == Flavour::Gnu {
                let body = [text.as_slice(), b"\0"].concat();
                out.extend(block(
                    self.flavour,
                    typeflag,
                    b"././@LongLink",
                    b"",
                    body.len() as i64,
                    self,
                ));
                out.extend(padded(&body));
            } else {
                pax.push((key.as_bytes().to_vec(), text.clone()));
            }
        }
        if !pax.is_empty() {
            let body: Vec<u8> = pax
                .iter()
                .flat_map(|(key, value)| pax_record(key, value))
                .collect();
            out.extend(block(
                self.flavour,
                b'x',
                b"PaxHeaders",
                b"",
                body.len() as i64,
                self,
            ));
            out.extend(padded(&body));
        }
        let size = self.size.unwrap_or(self.data.len() as i64);
        let cut = |text: &[u8]| text[..text.len().min(100)].to_vec();
        out.extend(block(
            self.flavour,
            self.typeflag,
            &cut(&self.name),
            &cut(&self.link),
            size,
            self,
        ));
        out.extend(padded(&self.data));
        out
    }
}

/// A whole archive with its end.
pub fn tar(specs: &[Spec]) -> Vec<u8> {
    let mut out: Vec<u8> = specs.iter().flat_map(Spec::bytes).collect();
    out.extend([0; 1024]);
    out
}

pub fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut length = key.len() + value.len() + 3;
    loop {
        let text = length.to_string();
        let total = key.len() + value.len() + 3 + text.len();
        if total == length {
            return [text.as_bytes(), b" ", key, b"=", value, b"\n"].concat();
        }
        length = total;
    }
}

pub fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.resize(bytes.len().next_multiple_of(512), 0);
    out
}

/// One header block with its checksum.
pub fn block(
    flavour: Flavour,
    typeflag: u8,
    name: &[u8],
    link: &[u8],
    size: i64,
    spec: &Spec,
) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    number(&mut block[100..108], spec.mode);
    number(&mut block[108..116], spec.uid);
    number(&mut block[116..124], spec.gid);
    number(&mut block[124..136], size);
    number(&mut block[136..148], spec.mtime);
    block[156] = typeflag;
    block[157..157 + link.len()].copy_from_slice(link);
    match flavour {
        Flavour::V7 => {}
        Flavour::Pax => block[257..265].copy_from_slice(b"ustar\x0000"),
        Flavour::Gnu => block[257..265].copy_from_slice(b"ustar  \0"),
    }
    if flavour != Flavour::V7 {
        number(&mut block[329..337], spec.device.0);
        number(&mut block[337..345], spec.device.1);
    }
    checksum(&mut block);
    block
}

pub fn checksum(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

/// Octal where it fits, base-256 otherwise.
fn number(field: &mut [u8], value: i64) {
    let digits = field.len() - 1;
    if value >= 0 && value < 1 << (3 * digits) {
        field[..digits].copy_from_slice(format!("{value:0digits$o}").as_bytes());
        return;
    }
    let bytes = i128::from(value).to_be_bytes();
    let length = field.len();
    field.copy_from_slice(&bytes[16 - length..]);
    field[0] = if value < 0 { 0xff } else { 0x80 };
}

/// All entries of a stream that is fed in pieces of `step` bytes.
pub fn read_in_steps(bytes: &[u8], step: usize, limits: Limits) -> Result<Vec<Entry>, IndexError> {
    let mut walker = TarWalker::new(limits, u64::MAX);
    let mut entries = Vec::new();
    for mut piece in bytes.chunks(step.max(1)) {
        while !piece.is_empty() {
            let fed = walker.feed(piece, &mut |entry| {
                entries.push(entry);
                Ok(())
            })?;
            piece = &piece[fed.taken..];
        }
    }
    walker.finish()?;
    Ok(entries)
}

pub fn read(bytes: &[u8]) -> Result<Vec<Entry>, IndexError> {
    read_in_steps(bytes, 64 << 10, Limits::default())
}
