//! The end of what a script wrote: a ring of bytes that never grows.

use std::collections::VecDeque;

/// Keeps the newest bytes.
#[derive(Debug)]
pub struct Tail {
    newest: VecDeque<u8>,
    bytes_max: usize,
    /// Bytes that were written in all.
    written: u64,
}

impl Tail {
    /// An empty tail of at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { newest: VecDeque::with_capacity(bytes_max.min(64 * 1024)), bytes_max, written: 0 }
    }

    /// Takes what was written next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.written += bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(self.bytes_max)..];
        let over = (self.newest.len() + kept.len()).saturating_sub(self.bytes_max);
        self.newest.drain(..over);
        self.newest.extend(kept);
    }

    /// The text of it, saying how much is missing; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.newest.iter().copied().collect();
        let cut = self.written - bytes.len() as u64;
        // A cut may fall into the middle of a character: its remaining bytes are passed over.
        let begins = if cut > 0 {
            bytes.iter().take(3).take_while(|b| **b & 0xC0 == 0x80).count()
        } else {
            0
        };
        let text = String::from_utf8_lossy(&bytes[begins..]);
        let clean: String = text.chars().map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect();
        if cut > 0 {
            format!("[{} bytes before this]\n{clean}", cut + begins as u64)
        } else {
            clean
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_bytes_stay() {
        let mut tail = Tail::new(4);
        tail.push(b"ab");
        assert_eq!(tail.text(), "ab");
        tail.push(b"cde");
        tail.push(b"");
        assert_eq!(tail.text(), "[1 bytes before this]\nbcde");
        tail.push(b"0123456789");
        assert_eq!(tail.text(), "[11 bytes before this]\n6789");
    }

    #[test]
    fn a_cut_character_is_passed_over_and_bad_bytes_are_replaced() {
        let mut tail = Tail::new(3);
        tail.push("aü!x".as_bytes());
        assert_eq!(tail.text(), "[3 bytes before this]\n!x");
        let mut tail = Tail::new(8);
        tail.push(b"a\xffb");
        assert_eq!(tail.text(), "a\u{fffd}b");
    }
}
