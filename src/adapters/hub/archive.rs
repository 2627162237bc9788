//! A kernel as an archive that the hub makes a flist of.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

/// What boots from the flist reads here which file of it is the kernel.
const BOOT: &[u8] = b"kernel: /kernel.efi\nnodefault: true\n";

/// Writes an archive of `/kernel.efi` and `/boot/boot.yaml`, which depends on nothing but the
/// kernel's bytes. Blocks on the disk.
pub fn pack_kernel(kernel: &Path, to: &Path) -> io::Result<()> {
    let file = File::open(kernel)?;
    let size = file.metadata()?.len();
    // A kernel is compressed already.
    let encoder = GzEncoder::new(File::create(to)?, Compression::fast());
    let mut archive = Builder::new(encoder);
    let regular = |size| header(EntryType::Regular, 0o644, size);
    archive.append_data(&mut regular(size), "kernel.efi", BufReader::new(file))?;
    archive.append_data(
        &mut header(EntryType::Directory, 0o755, 0),
        "boot/",
        io::empty(),
    )?;
    archive.append_data(&mut regular(BOOT.len() as u64), "boot/boot.yaml", BOOT)?;
    archive.into_inner()?.finish()?.flush()
}

/// Root's, and of no certain time.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
