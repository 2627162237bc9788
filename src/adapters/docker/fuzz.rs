//! Archives, as an engine that is not to be trusted would send them for an artifact.

use super::artifact::take;

const LARGEST: u64 = 64 * 1024;

pub fn artifact(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let into = folder.path().join("into");
    let taken = take(bytes, "/target/result", &into, LARGEST);
    let files = std::fs::read_dir(folder.path())
        .expect("the folder")
        .count();
    assert_eq!(
        files,
        usize::from(taken.is_ok()),
        "nothing but the artifact is written"
    );
    if let Ok(fetched) = taken {
        let written = std::fs::metadata(&into).expect("the artifact").len();
        assert_eq!(written, fetched.size);
        assert!(written <= LARGEST);
    }
}
