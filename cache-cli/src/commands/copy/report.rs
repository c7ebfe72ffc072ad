//! What came of a copy.

use serde::Serialize;

use crate::address::Address;
use crate::exit::Failure;
use crate::output::{Page, Report, Rows};
use crate::partition_name::PartitionName;
use crate::text::counted;

/// What came of a copy, counted over all partitions; of a dry run, what would.
#[derive(Debug, Default, Serialize)]
pub(super) struct Copied {
    pub(super) dry_run: bool,
    /// Partitions of the source.
    pub(super) partitions: usize,
    /// Entries that the target did not hold.
    pub(super) inserted: usize,
    /// Entries that the target held otherwise.
    pub(super) updated: usize,
    /// Entries that the target held as they are.
    pub(super) present: usize,
    /// Entries that the target holds newer.
    pub(super) kept: usize,
    /// Entries of the source that cannot be read.
    pub(super) unreadable: usize,
    /// Entries that were written and did not come back as they were.
    pub(super) not_verified: usize,
    pub(super) kept_entries: Vec<EntryRow>,
    pub(super) unreadable_entries: Vec<EntryRow>,
    pub(super) not_verified_entries: Vec<EntryRow>,
}

/// An entry that was not simply copied.
#[derive(Debug, Serialize)]
pub(super) struct EntryRow {
    pub(super) partition: PartitionName,
    pub(super) entry: String,
    pub(super) reason: &'static str,
}

impl Copied {
    /// How many entries were written.
    pub(super) fn written(&self) -> usize {
        self.inserted + self.updated
    }

    /// Exit 1: something of the source is not in the target.
    pub(super) fn verdict(&self, to: &Address) -> Result<(), Failure> {
        if self.not_verified > 0 {
            return Err(Failure::error(format!(
                "{} not in {to} as they were written: another process has changed them meanwhile, or the target is \
                 damaged; run the same command again",
                counted(self.not_verified, "entry is", "entries are")
            )));
        }
        if self.unreadable > 0 {
            return Err(Failure::error(format!(
                "{} of the source cannot be read and {} copied; keep the source, and see `tokencache verify`",
                counted(self.unreadable, "entry", "entries"),
                match (self.unreadable, self.dry_run) {
                    (1, false) => "was not",
                    (_, false) => "were not",
                    (_, true) => "would not be",
                }
            )));
        }
        Ok(())
    }
}

impl Report for Copied {
    fn table(&self, page: &mut Page) {
        let Self { partitions, inserted, updated, present, kept, unreadable, .. } = self;
        let total = counted(inserted + updated + present + kept + unreadable, "entry", "entries");
        let partitions = counted(*partitions, "partition", "partitions");
        page.line(format_args!(
            "{total} in {partitions}: {inserted} inserted, {updated} updated, {present} present already, {kept} kept, \
             {unreadable} unreadable"
        ));
        match (self.dry_run, self.not_verified) {
            (true, _) => page.line("This was a dry run: nothing was written."),
            (false, 0) => page.line("Every entry that was copied has been read back."),
            (false, _) => {}
        }
        for EntryRow { partition, entry, .. } in &self.kept_entries {
            page.line(format_args!("kept, the target has a newer one: {entry} ({partition})"));
        }
        for EntryRow { partition, entry, .. } in &self.unreadable_entries {
            page.line(format_args!("cannot be read: {entry} ({partition})"));
        }
        for EntryRow { partition, entry, .. } in &self.not_verified_entries {
            page.line(format_args!("not as it was written: {entry} ({partition})"));
        }
    }

    fn rows(&self, rows: &mut Rows) {
        let counts = [
            ("partitions", self.partitions),
            ("inserted", self.inserted),
            ("updated", self.updated),
            ("present", self.present),
            ("kept", self.kept),
            ("unreadable", self.unreadable),
            ("not_verified", self.not_verified),
        ];
        for (name, count) in counts {
            rows.row(&[name, &count.to_string()]);
        }
    }
}
