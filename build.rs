//! Rebuilds when a page or a vendored library changes, because the macro that embeds them cannot tell cargo.

fn main() {
    println!("cargo::rerun-if-changed=static");
    println!("cargo::rerun-if-changed=vendor");
}
