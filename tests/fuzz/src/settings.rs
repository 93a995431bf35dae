//! The files people edit, under libFuzzer.
#![no_main]

mod guided;
#[path = "../../../stages/tests/fuzz/mutate.rs"]
mod mutate;
#[path = "../../../pipeline/settings/tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(
    init: guided::begin(&targets::ALL, "pipeline/settings/tests/fuzz/corpus"),
    |bytes: &[u8]| guided::take(bytes)
);
