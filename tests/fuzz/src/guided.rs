//! One target of many under libFuzzer: `OPS_FUZZ_TARGET` names it, `OPS_FUZZ_SEEDS` the folder its inputs are put into.

use crate::mutate::{Target, kept};
use std::cell::RefCell;
use std::path::{Path, PathBuf};

thread_local! {
    static TARGET: RefCell<Option<Target>> = const { RefCell::new(None) };
}

/// Finds the target, and writes down what it is begun with: libFuzzer reads that folder next.
pub fn begin(all: &[fn() -> Target], corpus: &str) {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let (name, seeds) = (variable("OPS_FUZZ_TARGET"), PathBuf::from(variable("OPS_FUZZ_SEEDS")));
    let mut targets = all.iter().map(|target| target());
    let target = targets.find(|target| target.name == name).expect("there is one of that name");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(corpus);
    for (index, input) in target.corpus.iter().chain(&kept(&corpus, &name)).enumerate() {
        std::fs::write(seeds.join(format!("seed-{index}")), input).expect("the folder is there");
    }
    TARGET.set(Some(target));
}

/// Gives it an input.
pub fn take(bytes: &[u8]) {
    TARGET.with_borrow_mut(|target| (target.as_mut().expect("begun").take)(bytes));
}
