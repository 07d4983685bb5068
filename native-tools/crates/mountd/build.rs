//! Generates the messages and the service of `proto/clipyard/mount/v1`. protox compiles them in Rust: no protoc is needed.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Where cargo runs this script, not where it compiled it: checkouts share what is built.
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").ok_or("not run by cargo")?)
        .join("../../../proto");
    let files = ["mount", "state"].map(|name| format!("clipyard/mount/v1/{name}.proto"));
    for file in &files {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }
    let descriptors = protox::compile(&files, [&root])?;
    tonic_prost_build::configure()
        // Logins are in these: nothing may print them by accident.
        .skip_debug([
            "clipyard.mount.v1.Password",
            "clipyard.mount.v1.Credentials",
            "clipyard.mount.v1.Credentials.login",
            "clipyard.mount.v1.MountRequest",
            "clipyard.mount.v1.MountState",
        ])
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
