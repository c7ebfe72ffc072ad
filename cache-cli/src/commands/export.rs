//! `export`: everything in a store as a unified cache document.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use cache_core::{Blob, PartitionKey};
use serde::Serialize;

use crate::args::Export;
use crate::context::Context;
use crate::exit::{Failure, warn};
use crate::output::{Output, Page, Report, Rows};
use crate::store::Store;
use crate::text::counted;

/// Writes the document to standard output or to a file. Exit 1: it would show secrets on a terminal, or replace a file,
/// without `--force`.
pub(crate) fn run(args: &Export, context: &Context) -> Result<(), Failure> {
    if args.to.is_none() && Output::is_terminal() && !args.force {
        return Err(Failure::error(
            "an export holds every secret of the cache and is not shown on a terminal; give --to PATH, pipe it, or give \
             --force",
        ));
    }
    let store = Store::open(&args.location, context)?;
    let cache = store.load()?;
    store.warn_of_unreadable(&PartitionKey::Shared)?;
    match store.other_partitions()? {
        0 if cache.is_empty() => warn(&format!("{} holds nothing; the document is empty", store.address())),
        0 => {}
        others => warn(&format!(
            "a document holds the shared partition; of {}, {} left out",
            store.address(),
            counted(others, "other partition is", "other partitions are")
        )),
    }
    let document = cache.serialize();
    match &args.to {
        None => Output::write(document.expose()),
        Some(path) => {
            check_target(path, &store, args.force)?;
            write_new(path, &document, args.force)
                .map_err(|error| Failure::io(format_args!("writing {}", path.display()), &error))?;
            context.output.print(&Exported { path, entries: cache.len() })
        }
    }
}

#[derive(Debug, Serialize)]
struct Exported<'a> {
    path: &'a Path,
    entries: usize,
}

impl Report for Exported<'_> {
    fn table(&self, page: &mut Page) {
        page.line(format_args!("{} written to {}", counted(self.entries, "entry", "entries"), self.path.display()));
    }

    fn rows(&self, rows: &mut Rows) {
        rows.row(&["path", &self.path.display().to_string()]);
        rows.row(&["entries", &self.entries.to_string()]);
    }
}

/// Refuses a link, the store's own file, and without `force` any file.
fn check_target(path: &Path, store: &Store, force: bool) -> Result<(), Failure> {
    let Ok(there) = path.symlink_metadata() else { return Ok(()) };
    let refused = |reason: &str| Err(Failure::error(format!("{} {reason}", path.display())));
    if there.is_symlink() {
        return refused("is a symbolic link, and secrets are not written through one; name a file");
    }
    if !there.is_file() {
        return refused("is not a file; name one");
    }
    if store.address().is_at(path) {
        return refused("is the store itself; name another file");
    }
    if !force {
        return refused("is there already; give --force to replace it");
    }
    Ok(())
}

/// Writes a file that appears whole, durable and of mode 0600, or not at all. Without `force` nothing is replaced.
fn write_new(path: &Path, document: &Blob, force: bool) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Temporary files have mode 0600 from the start, and renaming one never follows a link.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(document.expose())?;
    file.as_file().sync_all()?;
    let written = if force { file.persist(path) } else { file.persist_noclobber(path) };
    written.map_err(|refused| refused.error)?;
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
