//! A disk of its own for a server's data, so small that it can be filled.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Its size: room for a database and its log of changes.
const MIB: u32 = 24;

/// A mounted disk in memory; unmounted when it is dropped.
pub(crate) struct Disk {
    place: PathBuf,
}

impl Disk {
    /// Mounts one at a place; `None` where that is not allowed.
    pub(crate) fn mount(place: &Path) -> Option<Self> {
        fs::create_dir_all(place).unwrap();
        let disk = Self { place: place.to_owned() };
        let size = format!("size={MIB}m");
        disk.run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs"]).then_some(disk)
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for piece in [64 * 1024, 4096, 1] {
            let full = loop {
                if let Err(error) = ballast.write_all(&vec![0; piece]) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
    }

    /// Makes room again.
    pub(crate) fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.place.join("ballast")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.place).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run("umount", &["--lazy"]);
    }
}
