//! How the system and programs say that a disk is full, and how we do.

use std::io;
use std::path::Path;

/// strerror(3) of `ENOSPC` and `EDQUOT`. Programs in Go begin in lower case.
const WORDS: [&str; 2] = ["no space left on device", "disk quota exceeded"];

/// Whether something could not be written for want of room.
pub fn is_lacking(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// Whether a program says so.
pub fn says_lacking(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    WORDS.iter().any(|words| text.contains(words))
}

/// Which disk it is, and what to do.
pub fn full(folder: &Path) -> String {
    let folder = folder.display();
    format!("the disk of {folder} is full: free some of it, see `autobuilder gc`")
}

/// An error in writing to a folder, for people.
pub fn in_words(error: &io::Error, folder: &Path) -> String {
    match is_lacking(error) {
        true => full(folder),
        false => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_known_by_its_number_and_by_its_words() {
        for number in [28, 122] {
            let error = io::Error::from_raw_os_error(number);
            assert!(is_lacking(&error) && says_lacking(&error.to_string()));
            assert_eq!(
                in_words(&error, Path::new("/data")),
                "the disk of /data is full: free some of it, see `autobuilder gc`"
            );
        }
        let other = io::Error::from_raw_os_error(5);
        assert!(!is_lacking(&other) && !says_lacking(&other.to_string()));
        assert!(in_words(&other, Path::new("/data")).starts_with("Input/output error"));
        assert!(says_lacking("write /app/x: no space left on device"));
    }
}
