//! Keys of deliveries: hashes, so that a repeat after a crash has the same one.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// 32 hex digits of the hash of `parts`; each part's end counts, so `ab`, `c` differs from `a`, `bc`.
pub fn of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut text = String::with_capacity(32);
    for byte in &hash.finalize()[..16] {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A number from 0 to 1 that is always the same for the same parts: the seed of jitter.
pub fn share(parts: &[&str]) -> f64 {
    let digits = of(parts);
    let bits = u32::from_str_radix(&digits[..8], 16).unwrap_or_default();
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_give_the_same_key_and_others_another() {
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_eq!(of(&["a"]).len(), 32);
        assert!((0.0..=1.0).contains(&share(&["a"])));
    }
}
