//! The file that a Unix listener leaves behind: [`SocketFile`].
//!
//! Binding to a path makes a file, closing the socket leaves it, and binding to a path that exists fails
//! even if nobody listens there any more. So a server removes a socket file that is in its way,
//! and on its close the one that it made, known by device and inode: another program may have put its own
//! in the same place meanwhile.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The socket file at a path, as it was when the listener had just made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// The socket file at `path`, if there is one.
    pub(super) fn at(path: &Path) -> Option<SocketFile> {
        // Not through a symbolic link: what was bound is the name itself.
        let metadata = fs::symlink_metadata(path).ok()?;
        metadata.file_type().is_socket().then(|| SocketFile {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// Removes the file unless it is gone or another one (U-006, U-007).
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn remove(&self) -> io::Result<()> {
        if SocketFile::at(&self.path).as_ref() != Some(self) {
            return Ok(());
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
