//! Many samples in one log entry: the binary encoding of `ops.log.<shard>.batch`.
//!
//! At a hundred samples a message the bus's cost is bytes, so names and labels are written once per
//! section, values as short decimal integers where nothing is lost by it, times as differences. The table
//! of series stands apart from the samples: a client that keeps sending the same series sends the same
//! table bytes, and the reader finds its ids by comparing bytes ([`TableCache`]). Every block of samples
//! is preceded by its length, so a worker skips series it does not own without looking into them.
//!
//! # Layout, version 1
//!
//! `varint` is LEB128, at most ten bytes; `zigzag` is a varint of `(n << 1) ^ (n >> 63)`; numbers of fixed
//! width are little-endian; `text` is a varint length and that many bytes of UTF-8.
//!
//! ```text
//! batch   = "OPSB" version:u8 sections:varint section*
//! section = length:varint body              length counts the bytes of body
//! body    = client:text number:varint       an empty client: not numbered, applied as it comes
//!           base:zigzag                     nanoseconds of Unix time
//!           table_length:varint table block*    one block per series of the table, in its order
//! table   = series:varint row*
//! row     = kind:u8 shared:varint suffix:text   0 gauge, 1 counter; key = `shared` bytes of the key
//!                                           before it, then `suffix`; keys as in `series::series_key`
//! block   = length:varint flags:u8 count:varint sample*
//! sample  = time? value id?
//! flags   = bits 0-2 value: 0-6 decimals as zigzag, 7 as f64
//!           bits 3-4 time: 0 none (log time), 1 milliseconds, 2 nanoseconds, as zigzag difference from
//!                    the sample before (the first from base, in that unit, base rounded down)
//!           bit 5    an id:text follows each value
//! ```

mod build;
mod cache;
mod frame;
mod read;
pub(crate) mod varint;

pub(crate) use build::write_table;
pub use build::{BatchBuilder, Sample};
pub use cache::TableCache;
pub use frame::{Frame, TimedFrame};
pub use read::{Batch, Block, Row, Section, Table};

/// First bytes of every batch.
pub const MAGIC: [u8; 4] = *b"OPSB";
/// Version this code writes, and the newest it reads.
pub const VERSION: u8 = 1;
/// Largest batch taken: eight times the bus's default message, so a larger setting of it fits too.
pub const BATCH_BYTES_MAX: usize = 8 << 20;
/// Most sections of one batch: one per client of a group commit.
pub const SECTIONS_MAX: usize = 65_536;
/// Longest name of a client, in bytes.
pub const CLIENT_BYTES_MAX: usize = 128;
/// Longest id of a sample, in bytes.
pub const ID_BYTES_MAX: usize = 128;

/// What the values of a series are.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A level: each value stands for itself.
    #[default]
    Gauge,
    /// A running total that only rises, and starts again when its process does.
    Counter,
}

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// It does not begin with [`MAGIC`].
    #[error("not a batch: the first four bytes are not OPSB")]
    Magic,
    /// Written by a newer version.
    #[error("batch version {0}; this version reads up to {VERSION}: update the reader first")]
    Version(u8),
    /// It ends inside a value.
    #[error("the batch is cut off")]
    CutOff,
    /// A length or number that cannot be.
    #[error("the batch is corrupt: {0}")]
    Corrupt(&'static str),
    /// Larger than a bound of this module.
    #[error("the batch has too many {0}")]
    TooLarge(&'static str),
}

impl BatchError {
    /// The token used in `ops.deadletter.<reason>` and in counters.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Magic => "batch_magic",
            Self::Version(_) => "batch_version",
            Self::CutOff => "batch_cut_off",
            Self::Corrupt(_) => "batch_corrupt",
            Self::TooLarge(_) => "batch_too_large",
        }
    }
}

#[cfg(test)]
mod tests;
