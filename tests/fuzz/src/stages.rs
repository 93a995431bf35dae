//! The stages' targets under libFuzzer.
#![no_main]

mod guided;
#[path = "../../../stages/tests/fuzz/mutate.rs"]
mod mutate;
#[path = "../../../stages/tests/shard_script/mod.rs"]
mod shard_script;
#[path = "../../../stages/tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(
    init: guided::begin(&targets::ALL, "stages/tests/fuzz/corpus"),
    |bytes: &[u8]| guided::take(bytes)
);
