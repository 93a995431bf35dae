//! From the bytes of an entry to samples: JSON here, the binary encoding in [`crate::batch`].

mod check;
pub mod json;
mod plain;
pub mod refusal;

pub use check::time_of;
pub use json::{KeyedSample, ParsedSample, each_sample, parse_samples};
pub use refusal::{Refusal, RefusalReason};

#[cfg(test)]
mod tests;
