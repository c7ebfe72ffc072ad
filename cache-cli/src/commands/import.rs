//! `import`: merges a unified cache document into a store.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use cache_core::{Blob, Change, Changes, Entry, EntryId, SecretBuffer, Skip, UnifiedDocument, Version};
use serde::Serialize;

use crate::args::Import;
use crate::context::Context;
use crate::entry_name;
use crate::exit::Failure;
use crate::output::{Page, Report, Rows};
use crate::store::Store;
use crate::text::counted;

/// Merges the document, entry by entry, as the store's merge rules say: what the store holds newer stays.
pub(crate) fn run(args: &Import, context: &Context) -> Result<(), Failure> {
    let bytes = read(&args.document)?;
    let (document, salvaged) = parse(&bytes, args.salvage)?;
    let entries: Vec<Entry> = document.into_entries().collect();

    let store = if args.create_key {
        Store::open_creating_key(&args.location, context)?
    } else {
        Store::open_to_write(&args.location, args.writing, context)?
    };
    let report = merge(&entries, salvaged, &store)?;
    context.output.print(&report)
}

/// Merges entries into a store.
pub(crate) fn merge(entries: &[Entry], salvaged: bool, store: &Store) -> Result<Imported, Failure> {
    let before = store.snapshot()?;
    let held = before.into_iter().flat_map(|before| before.entries).map(|held| held.entry);
    let before: HashMap<EntryId, Version> = held.map(|entry| (entry.id, Version::of_content(&entry.json))).collect();
    let changes = Changes::new(entries.iter().cloned().map(Change::put).collect());
    let skipped = store.commit(&changes)?.skipped;

    let stayed: HashSet<&EntryId> = skipped.iter().map(|(id, _)| id).collect();
    let mut report = Imported { salvaged, ..Imported::default() };
    for entry in entries.iter().filter(|entry| !stayed.contains(&entry.id)) {
        *match before.get(&entry.id) {
            None => &mut report.inserted,
            Some(version) if *version == Version::of_content(&entry.json) => &mut report.unchanged,
            Some(_) => &mut report.updated,
        } += 1;
    }
    report.skipped = skipped.len();
    report.skipped_entries =
        skipped.iter().map(|(id, skip)| Skipped { entry: entry_name::full(id), reason: reason(*skip) }).collect();
    Ok(report)
}

/// Why an entry was not put, as reports say it.
pub(crate) fn reason(skip: Skip) -> &'static str {
    match skip {
        Skip::NewerPresent => "newer_present",
        _ => "not_applied",
    }
}

/// What an import did, counted against what the store held when it began.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Imported {
    inserted: usize,
    updated: usize,
    unchanged: usize,
    skipped: usize,
    skipped_entries: Vec<Skipped>,
    salvaged: bool,
}

#[derive(Debug, Serialize)]
struct Skipped {
    entry: String,
    reason: &'static str,
}

impl Report for Imported {
    fn table(&self, page: &mut Page) {
        let Self { inserted, updated, unchanged, skipped, .. } = self;
        let total = counted(inserted + updated + unchanged + skipped, "entry", "entries");
        page.line(format_args!(
            "{total}: {inserted} inserted, {updated} updated, {unchanged} unchanged, {skipped} skipped"
        ));
        if self.salvaged {
            page.line("The document is damaged; these are its complete entries.");
        }
        for Skipped { entry, .. } in &self.skipped_entries {
            page.line(format_args!("skipped, the store has a newer one: {entry}"));
        }
    }

    fn rows(&self, rows: &mut Rows) {
        let counts = [
            ("inserted", self.inserted),
            ("updated", self.updated),
            ("unchanged", self.unchanged),
            ("skipped", self.skipped),
        ];
        for (name, count) in counts {
            rows.row(&[name, &count.to_string()]);
        }
    }
}

fn read(path: &Path) -> Result<Blob, Failure> {
    if path.as_os_str() == "-" {
        return read_all(io::stdin().lock()).map_err(|error| Failure::io("reading standard input", &error));
    }
    let read = File::open(path).and_then(read_all);
    read.map_err(|error| {
        let path = path.display();
        Failure::error(format!("reading the document {path}: {error}; name a file, or - for standard input"))
    })
}

fn read_all(mut from: impl Read) -> io::Result<Blob> {
    let mut content = SecretBuffer::default();
    io::copy(&mut from, &mut content)?;
    Ok(content.into_blob())
}

/// The document, and whether it had to be salvaged.
fn parse(bytes: &Blob, salvage: bool) -> Result<(UnifiedDocument, bool), Failure> {
    match UnifiedDocument::parse(bytes) {
        Ok(document) => Ok((document, false)),
        Err(error) if salvage => match UnifiedDocument::salvage(bytes) {
            Some(document) => Ok((document, true)),
            None => Err(error.into()),
        },
        Err(error) => {
            let advice = match UnifiedDocument::salvage(bytes) {
                Some(document) if !document.is_empty() => "; --salvage imports its complete entries",
                _ => "",
            };
            Err(Failure::error(format!("{error}{advice}")))
        }
    }
}
