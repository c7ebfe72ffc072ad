//! What a database shows without its key: how many entries of each kind there are, and when they expire.

use std::path::Path;

use cache_core::UnixSeconds;
use cache_sqlite::{PartitionInventory, SectionInventory};
use serde::Serialize;

use crate::address::Address;
use crate::context::Context;
use crate::exit::{Failure, warn};
use crate::output::{Cell, Page, Report, Rows};
use crate::store::database_without_key;
use crate::text::counted;
use crate::times::{date, expiry};

/// Lists kinds, counts and expiries of the database at `path`.
pub(super) fn run(path: &Path, address: &Address, context: &Context) -> Result<(), Failure> {
    /// Partitions that are asked for at once.
    const PAGE: usize = 1000;
    let (database, now) = (database_without_key(path, context)?, context.now());
    let mut partitions: Vec<PartitionRow> = Vec::new();
    loop {
        let after = partitions.last().map(|row| row.number);
        let page = pollster::block_on(database.inventory(after, PAGE, now))?;
        if page.is_empty() {
            break;
        }
        partitions.extend(page.iter().map(PartitionRow::of));
    }
    if partitions.is_empty() {
        warn(&format!("{address} holds nothing"));
    }
    context.output.print(&Inventory { now: now.0, note: NOTE, partitions })
}

/// Why there are no names.
const NOTE: &str = "names need the key: give --key-file FILE or --passphrase-file FILE, or --plaintext if the database is \
                    not encrypted";

/// What a database holds, as far as it shows without the key.
#[derive(Debug, Serialize)]
struct Inventory {
    now: i64,
    note: &'static str,
    partitions: Vec<PartitionRow>,
}

#[derive(Debug, Serialize)]
struct PartitionRow {
    number: i64,
    entries: usize,
    kinds: Vec<KindRow>,
}

#[derive(Debug, Serialize)]
struct KindRow {
    /// `None`: not of the schema.
    section: Option<&'static str>,
    entries: usize,
    expired: usize,
    next_expires_on: Option<i64>,
    next_expires_at: Option<String>,
}

impl PartitionRow {
    fn of(partition: &PartitionInventory) -> Self {
        let kind = |section: &SectionInventory| KindRow {
            section: section.section,
            entries: section.entries,
            expired: section.expired,
            next_expires_on: section.next_expiry.map(|time| time.0),
            next_expires_at: section.next_expiry.and_then(date),
        };
        let kinds: Vec<KindRow> = partition.sections.iter().map(kind).collect();
        Self { number: partition.number, entries: kinds.iter().map(|kind| kind.entries).sum(), kinds }
    }
}

impl Report for Inventory {
    fn table(&self, page: &mut Page) {
        let now = UnixSeconds(self.now);
        for PartitionRow { number, entries, kinds } in &self.partitions {
            page.gap();
            page.line(format_args!("Partition {number}: {}", counted(*entries, "entry", "entries")));
            let header = ["KIND", "ENTRIES", "EXPIRED", "NEXT EXPIRES"].map(Cell::of);
            let rows: Vec<_> = (kinds.iter())
                .map(|kind| {
                    let next = kind.next_expires_on.map(|time| expiry(Some(UnixSeconds(time)), now));
                    [
                        Cell::of(kind.section.unwrap_or("(not of the schema)")),
                        Cell::of(kind.entries.to_string()),
                        Cell::of(kind.expired.to_string()).alarming_if(kind.expired > 0),
                        Cell::of(next.unwrap_or_default()),
                    ]
                })
                .collect();
            page.table(std::iter::once(&header).chain(&rows));
        }
        if !self.partitions.is_empty() {
            page.gap();
            page.line(format_args!("Not shown: {}.", self.note));
        }
    }

    fn rows(&self, rows: &mut Rows) {
        for PartitionRow { number, kinds, .. } in &self.partitions {
            for kind in kinds {
                rows.row(&[
                    &number.to_string(),
                    kind.section.unwrap_or_default(),
                    &kind.entries.to_string(),
                    &kind.expired.to_string(),
                    &kind.next_expires_on.map(|time| time.to_string()).unwrap_or_default(),
                ]);
            }
        }
    }
}
