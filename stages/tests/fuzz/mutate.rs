//! Bytes that are nearly right: inputs of a corpus, changed a little, by the seed.

#![allow(dead_code, reason = "shared by the tests of two crates")]

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// What numbers in a format are most often wrong about.
const EDGES: [u64; 9] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX];

/// SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// One of `corpus`, changed in one to six places.
pub fn mutated(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(6) {
        let at = dice.below(bytes.len());
        match dice.below(9) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
            1 if !bytes.is_empty() => bytes[at] = dice.next() as u8,
            2 => bytes.truncate(at),
            3 => bytes.insert(at, dice.next() as u8),
            4 if !bytes.is_empty() => drop(bytes.remove(at)),
            5 => {
                // A part of another one, or of itself.
                let other = &corpus[dice.below(corpus.len())];
                let from = dice.below(other.len());
                let until = from + dice.below(other.len() - from + 1);
                let part: Vec<u8> = other[from..until].to_vec();
                bytes.splice(at..at, part);
            }
            6 => {
                let edge = EDGES[dice.below(EDGES.len())];
                let width = [1, 2, 4, 8][dice.below(4)];
                let until = (at + width).min(bytes.len());
                bytes.splice(at..until, edge.to_le_bytes()[..width].iter().copied());
            }
            7 => {
                let number = EDGES[dice.below(EDGES.len())].to_string();
                bytes.splice(at..at, number.into_bytes());
            }
            _ => {
                let until = at + dice.below(bytes.len() - at + 1);
                let part: Vec<u8> = bytes[at..until].to_vec();
                for _ in 0..dice.below(4) {
                    bytes.splice(at..at, part.iter().copied());
                }
            }
        }
        bytes.truncate(1 << 16);
    }
    bytes
}

/// What takes bytes.
pub struct Target {
    /// Names its corpus.
    pub name: &'static str,
    /// Inputs of one test run.
    pub runs: u64,
    /// Right ones, to begin with.
    pub corpus: Vec<Vec<u8>>,
    /// Takes them.
    pub take: Box<Take>,
}

type Take = dyn FnMut(&[u8]);

impl Target {
    pub fn new(
        name: &'static str,
        runs: u64,
        corpus: Vec<Vec<u8>>,
        take: impl FnMut(&[u8]) + 'static,
    ) -> Self {
        Self { name, runs, corpus, take: Box::new(take) }
    }
}

/// Gives a target every input of its corpus and many that are nearly like them. One that makes it panic is kept in the
/// corpus, so that it is tried ever after.
///
/// `OPS_FUZZ_RUNS` says how many, `OPS_FUZZ_SEED` from which seed on.
pub fn fuzz(target: Target) {
    let number = |variable: &str, default: u64| {
        std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a whole number"))
    };
    let (first, runs) = (number("OPS_FUZZ_SEED", 0), number("OPS_FUZZ_RUNS", target.runs));
    run(target, first..first + runs);
}

/// The same with these seeds.
pub fn run(target: Target, seeds: Range<u64>) {
    let Target { name, mut corpus, mut take, .. } = target;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    corpus.extend(kept(&folder, name));
    assert!(!corpus.is_empty(), "{name}: nothing to begin with");
    let mut try_it = |bytes: &[u8], from: &dyn Fn() -> String| {
        if catch_unwind(AssertUnwindSafe(|| take(bytes))).is_err() {
            let folder = folder.join(name);
            std::fs::create_dir_all(&folder).unwrap();
            let sum = bytes.iter().fold(bytes.len() as u64, |sum, byte| {
                (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            let kept = folder.join(format!("panic-{sum:016x}"));
            std::fs::write(&kept, bytes).unwrap();
            panic!("{name}: panics at {}; the input is kept in {}", from(), kept.display());
        }
    };
    for (index, bytes) in corpus.iter().enumerate() {
        try_it(bytes, &|| format!("number {index} of its corpus"));
    }
    let runs = seeds.end - seeds.start;
    for run in seeds {
        let bytes = mutated(&mut Dice(run), &corpus);
        try_it(&bytes, &|| format!("OPS_FUZZ_SEED={run} OPS_FUZZ_RUNS=1"));
    }
    println!("{name}: {runs} inputs, {} to begin with", corpus.len());
}

/// What is kept of a target's inputs: in `<name>/` what once made it panic, in `<name>.txt` what led it to places no
/// other input did, each a line of hexadecimal digits.
pub fn kept(folder: &Path, name: &str) -> Vec<Vec<u8>> {
    let panics = std::fs::read_dir(folder.join(name)).into_iter().flatten();
    let mut kept: Vec<_> =
        panics.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    let found = std::fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap_or_default();
    kept.extend(found.lines().map(|line| {
        let digits = line.as_bytes().chunks(2);
        digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    }));
    kept
}
