//! File systems that several machines share. The write-ahead log needs memory that all processes of one machine share
//! (<https://www.sqlite.org/wal.html>, "all processes using a database must be on the same host computer"), and the locks
//! of these file systems are known to fail: a database there is damaged sooner or later.

use std::path::Path;

use cache_core::{Error, ErrorKind, Result};

/// `Unsupported`: `folder` lies on another machine.
pub(crate) fn refuse(folder: &Path) -> Result<()> {
    let Some(name) = network(folder) else { return Ok(()) };
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "{} lies on a network file system ({name}), where SQLite databases are damaged when two machines write; use a \
             local folder, or a store made for several machines",
            folder.display()
        ),
    ))
}

/// The name of the network file system that `folder` lies on. One that cannot be asked counts as local.
#[cfg(target_os = "linux")]
fn network(folder: &Path) -> Option<&'static str> {
    of_magic(rustix::fs::statfs(folder).ok()?.f_type.cast_unsigned() as u32)
}

/// By the magic number of `statfs` (linux `include/uapi/linux/magic.h` and the file systems' own sources). FUSE is not
/// told apart: most of its file systems are local, encrypted folders among them.
#[cfg(target_os = "linux")]
fn of_magic(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x0000_6969 => "NFS",
        0x0000_517B | 0xFF53_4D42 | 0xFE53_4D42 => "SMB",
        0x0102_1997 => "9p",
        0x5346_414F => "AFS",
        0x7375_7245 => "Coda",
        0x00C3_6400 => "Ceph",
        0x0BD0_0BD0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x0116_1970 => "GFS2",
        0x7461_636F => "OCFS2",
        _ => return None,
    })
}

#[cfg(windows)]
fn network(folder: &Path) -> Option<&'static str> {
    use std::path::{Component, Prefix};
    match folder.components().next() {
        Some(Component::Prefix(prefix)) if matches!(prefix.kind(), Prefix::UNC(..) | Prefix::VerbatimUNC(..)) => {
            Some("a share")
        }
        _ => None,
    }
}

#[cfg(not(any(target_os = "linux", windows)))]
fn network(_: &Path) -> Option<&'static str> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn local_file_systems_are_used() {
        refuse(&std::env::temp_dir()).expect("a local folder");
    }

    #[test]
    fn network_file_systems_are_told_by_their_number() {
        // ext4, tmpfs, btrfs, overlay, FUSE.
        for local in [0xEF53, 0x0102_1994, 0x9123_683E, 0x794C_7630, 0x6573_5546] {
            assert_eq!(of_magic(local), None, "{local:x}");
        }
        assert_eq!([0x6969, 0xFF53_4D42, 0x0102_1997].map(of_magic), [Some("NFS"), Some("SMB"), Some("9p")]);
    }
}
