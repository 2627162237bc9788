//! A kernel's archive.

use std::io::Read;

use flate2::read::GzDecoder;

use super::*;

#[test]
fn a_kernels_archive_holds_it_and_how_to_boot_it_and_nothing_of_where_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = folder.path().join("vmlinuz.efi");
    let content = archive(100_000);
    std::fs::write(&kernel, &content).unwrap();
    let packed = folder.path().join("packed");
    pack_kernel(&kernel, &packed).unwrap();

    let bytes = std::fs::read(&packed).unwrap();
    let mut tar = tar::Archive::new(GzDecoder::new(bytes.as_slice()));
    let mut entries = Vec::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        let owner = [header.uid().unwrap(), header.gid().unwrap()];
        assert_eq!((owner, header.mtime().unwrap()), ([0, 0], 0));
        let path = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        entries.push((path, content));
    }
    let boot = b"kernel: /kernel.efi\nnodefault: true\n".to_vec();
    let expected = [
        ("kernel.efi", content),
        ("boot/", Vec::new()),
        ("boot/boot.yaml", boot),
    ];
    assert_eq!(
        entries,
        expected.map(|(path, bytes)| (path.to_owned(), bytes))
    );

    // Made again, of a file of another time.
    std::fs::File::open(&kernel)
        .unwrap()
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    pack_kernel(&kernel, &packed).unwrap();
    assert_eq!(std::fs::read(&packed).unwrap(), bytes);
}
