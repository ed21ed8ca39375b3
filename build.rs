//! Builds again when a page or a vendored library comes or goes: the macro that embeds them cannot say.

fn main() {
    println!("cargo::rerun-if-changed=static");
    println!("cargo::rerun-if-changed=vendor");
}
