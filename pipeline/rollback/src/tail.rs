//! The end of what a script wrote, read from its file; and the rest of it given back to the disk.

use nix::fcntl::{FallocateFlags, fallocate};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Room is given back once this much has gathered, in whole blocks of the file system.
const RELEASE_BYTES_MIN: u64 = 1 << 20;
const BLOCK: u64 = 4096;

/// A file that a script writes to, of which only the newest bytes are wanted.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    bytes_max: u64,
    /// Up to here its room was given back.
    released: u64,
}

impl Tail {
    /// At most `bytes_max` bytes of the file at `path`.
    pub fn of(path: PathBuf, bytes_max: usize) -> Self {
        Self { path, bytes_max: bytes_max as u64, released: 0 }
    }

    /// Gives back the room of all that will not be read: the file keeps its length and has a hole. A file system
    /// that cannot do that keeps the whole.
    pub fn release(&mut self) {
        let Ok(about) = self.path.metadata() else { return };
        let until = about.len().saturating_sub(self.bytes_max) / BLOCK * BLOCK;
        if until < self.released + RELEASE_BYTES_MIN {
            return;
        }
        let Ok(file) = OpenOptions::new().write(true).open(&self.path) else { return };
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let [from, length] = [self.released, until - self.released].map(i64::try_from);
        if let (Ok(from), Ok(length)) = (from, length)
            && let Err(error) = fallocate(&file, hole, from, length)
        {
            tracing::debug!(%error, path = %self.path.display(), "its room cannot be given back");
        }
        self.released = until;
    }

    /// The text of it, saying how much is missing; bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn text(&self) -> io::Result<String> {
        let (bytes, cut) = end(&self.path, self.bytes_max)?;
        Ok(text(&bytes, cut))
    }
}

fn end(path: &Path, bytes_max: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let cut = file.metadata()?.len().saturating_sub(bytes_max);
    file.seek(SeekFrom::Start(cut))?;
    let mut bytes = Vec::new();
    // What the script left in the background may still be writing.
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok((bytes, cut))
}

fn text(bytes: &[u8], cut: u64) -> String {
    // A cut may fall into the middle of a character: its remaining bytes are passed over.
    let begins =
        if cut > 0 { bytes.iter().take(3).take_while(|b| **b & 0xC0 == 0x80).count() } else { 0 };
    let text = String::from_utf8_lossy(&bytes[begins..]);
    let clean: String = text.chars().map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect();
    if cut > 0 { format!("[{} bytes before this]\n{clean}", cut + begins as u64) } else { clean }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    fn tail_of(written: &[u8], bytes_max: usize) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        std::fs::write(&path, written).unwrap();
        Tail::of(path, bytes_max).text().unwrap()
    }

    #[test]
    fn only_the_newest_bytes_are_read() {
        assert_eq!(tail_of(b"", 4), "");
        assert_eq!(tail_of(b"abcd", 4), "abcd");
        assert_eq!(tail_of(b"abcde", 4), "[1 bytes before this]\nbcde");
    }

    #[test]
    fn a_cut_character_is_passed_over_and_bad_bytes_are_replaced() {
        assert_eq!(tail_of("aü!x".as_bytes(), 3), "[3 bytes before this]\n!x");
        assert_eq!(tail_of(b"a\xffb\0", 8), "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn what_will_not_be_read_takes_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        let mut tail = Tail::of(path.clone(), 8192);
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        for _ in 0..16 {
            file.write_all(&vec![b'x'; 1 << 20]).unwrap();
            tail.release();
        }
        file.write_all(b"end").unwrap();
        file.sync_all().unwrap();
        let about = path.metadata().unwrap();
        assert!(about.blocks() * 512 < 3 << 20, "{} blocks", about.blocks());
        let text = tail.text().unwrap();
        assert!(text.ends_with("xend") && text.starts_with("[16769027 bytes before this]"));
    }
}
