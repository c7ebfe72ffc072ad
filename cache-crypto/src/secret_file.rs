//! Files that hold a key or a passphrase.

use std::fs::File;
use std::io::{ErrorKind as Io, Read as _, Write as _};
use std::path::Path;

use cache_core::{Error, ErrorKind, Result, Secret};
use zeroize::Zeroizing;

/// The longest key or passphrase file, in bytes.
const LIMIT: usize = 4096;

/// The text in a file, without one line end after it. `what` names the file in errors, for example `password file`. The file is
/// read as [`Key::from_file`](crate::Key::from_file) reads one, with the same errors. Not UTF-8: `InvalidInput`.
pub fn secret_from_file(path: impl AsRef<Path>, what: &str) -> Result<Secret> {
    let path = path.as_ref();
    let content = read(path, what)?;
    let text = std::str::from_utf8(&content).map_err(|_| {
        Error::new(ErrorKind::InvalidInput, format!("{}: the {what} is not UTF-8 text", path.display()))
    })?;
    Ok(Secret::new(text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(text)))
}

/// The content of a regular file that nobody but its owner may access. `what` names the file in errors.
///
/// Missing: `KeyUnavailable`. Too long: `InvalidInput`. Unsafe: `Denied`.
pub(crate) fn read(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |error: std::io::Error| match error.kind() {
        Io::NotFound => {
            let message = format!("there is no {what} at {}; create it, or name the right one", path.display());
            Error::new(ErrorKind::KeyUnavailable, message).with_source(error)
        }
        _ => Error::io(format_args!("reading the {what} {}", path.display()), error),
    };
    // Looked at before the file is opened, since opening a pipe waits for its writer.
    let regular = std::fs::metadata(path).map_err(failed)?.is_file();
    if !regular {
        let message = format!("{} is not a regular file; put the secret into one", path.display());
        return Err(Error::new(ErrorKind::Denied, message));
    }
    let mut file = File::open(path).map_err(failed)?;
    refuse_if_shared(path, &file.metadata().map_err(failed)?)?;

    // One byte of room more than allowed, so that a file that is too long shows; the buffer never grows.
    let mut content = Zeroizing::new(vec![0; LIMIT + 1]);
    let mut length = 0;
    while length < content.len() {
        match file.read(&mut content[length..]) {
            Ok(0) => {
                content.truncate(length);
                return Ok(content);
            }
            Ok(read) => length += read,
            Err(error) if error.kind() == Io::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let message = format!("{} is longer than {LIMIT} bytes, so it is no {what}", path.display());
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// Creates a file of mode 0600 with this content, whole or not at all; false if anything stands there.
pub(crate) fn create(path: &Path, content: &[u8]) -> Result<bool> {
    let failed = |error| Error::io(format_args!("creating the key file {}", path.display()), error);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Temporary files have mode 0600 from the start.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(content).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        Err(refused) if refused.error.kind() == Io::AlreadyExists => return Ok(false),
        Err(refused) => return Err(failed(refused.error)),
    }
    // The name is durable once its folder is; only Unix can open a folder.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    Ok(true)
}

#[cfg(unix)]
fn refuse_if_shared(path: &Path, metadata: &std::fs::Metadata) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = metadata.permissions().mode() & 0o777;
    let others = mode & 0o077;
    if others == 0 {
        return Ok(());
    }
    let path = path.display();
    let message = format!("{path} has mode {mode:04o}, so others than its owner may access it; run: chmod 600 {path}");
    Err(Error::new(ErrorKind::Denied, message))
}

/// Elsewhere the access list of the folder decides, which is the user's own for folders of the user's profile.
#[cfg(not(unix))]
fn refuse_if_shared(_: &Path, _: &std::fs::Metadata) -> Result<()> {
    Ok(())
}
