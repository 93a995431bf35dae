//! From the bytes of an entry to samples: JSON here, the binary encoding in [`crate::batch`].

pub mod json;
mod plain;
pub mod refusal;

pub use json::{ParsedSample, parse_samples};
pub use refusal::{Refusal, RefusalReason};

#[cfg(test)]
mod tests;
