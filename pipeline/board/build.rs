//! Hands the chart library, installed by npm into `board/`, to `include_str!`.

use std::path::PathBuf;

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let library = root.join("../../board/node_modules/uplot/dist");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    for name in ["uPlot.esm.js", "uPlot.min.css"] {
        let file = library.join(name);
        println!("cargo::rerun-if-changed={}", file.display());
        if let Err(error) = std::fs::copy(&file, out.join(name)) {
            println!(
                "cargo::error=board/node_modules/uplot/dist/{name}: {error}; run `make setup-lab`"
            );
        }
    }
}
