//! Layers over a registry with faults.

mod amplification;
mod caching;
mod checking;
mod far_away;
mod faults;
mod harness;
mod hedged;
mod limits;
mod login;
mod mirrors;
mod points;
mod policy;
mod reading;
mod stores;
mod streamed;
mod untrusted;
mod withdrawn;

use crate::testing::Stored;

const CHUNK: u32 = 16 << 10;
const EVERY_KIND: [Stored; 7] = [
    Stored::Plain,
    Stored::ZstdFrames,
    Stored::ZstdWhole,
    Stored::GzipMembers(10_000),
    Stored::GzipMembers(70_000),
    Stored::GzipWhole,
    Stored::GzipPoints(40_000),
];
