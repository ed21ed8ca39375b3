//! Rebuilds when a page changes, because the macro that embeds them cannot tell cargo.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A debug build reads them when they are asked for.
    if std::env::var_os("CARGO_CFG_DEBUG_ASSERTIONS").is_none() {
        println!("cargo::rerun-if-changed=client/src");
        println!("cargo::rerun-if-changed=static");
    }
}
