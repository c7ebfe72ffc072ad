//! The caches as a table, and as tab-separated values.

use cache_core::UnixSeconds;

use super::{Content, StoreRow, Stores};
use crate::output::{Cell, Page, Report, Rows};
use crate::times::ago;

impl Report for Stores {
    fn table(&self, page: &mut Page) {
        let now = UnixSeconds(self.now);
        let (found, missing): (Vec<&StoreRow>, Vec<&StoreRow>) = self.stores.iter().partition(|row| row.exists);
        if found.is_empty() {
            page.line("None of these products has a cache on this machine.");
        }
        let rows: Vec<_> = (found.iter())
            .map(|row| {
                let modified = row.modified.map(|time| ago(UnixSeconds(time), now));
                [
                    Cell::of(row.presets.join(" ")),
                    Cell::of(row.content.words()).alarming_if(row.content == Content::Unreadable),
                    Cell::of(number(row.accounts)),
                    Cell::of(number(row.entries)),
                    Cell::of(row.bytes.map(|bytes| bytes.to_string()).unwrap_or_default()),
                    Cell::of(row.mode.as_deref().unwrap_or_default()),
                    Cell::of(modified.unwrap_or_default()),
                    Cell::of(row.libraries()),
                    Cell::of(row.wrappers()),
                    Cell::of(row.path.display().to_string()),
                ]
            })
            .collect();
        let columns =
            ["PRESET", "CONTENT", "ACCOUNTS", "ENTRIES", "BYTES", "MODE", "WRITTEN", "LIBRARIES", "WRAPPERS", "PATH"];
        page.section("Caches", columns, &rows);

        let warnings: Vec<_> = (found.iter())
            .flat_map(|row| row.warnings.iter().map(|warning| [Cell::of(row.presets.join(" ")), Cell::of(&**warning)]))
            .collect();
        page.section("Warnings", ["PRESET", "WARNING"], &warnings);

        let missing: Vec<_> = (missing.iter())
            .map(|row| [Cell::of(row.presets.join(" ")), Cell::of(row.path.display().to_string())])
            .collect();
        page.section("Not here", ["PRESET", "PATH"], &missing);
    }

    fn rows(&self, rows: &mut Rows) {
        for row in &self.stores {
            rows.row(&[
                &row.presets.join(" "),
                row.content.words(),
                &number(row.accounts),
                &number(row.entries),
                &row.bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
                row.mode.as_deref().unwrap_or_default(),
                &row.modified.map(|time| time.to_string()).unwrap_or_default(),
                &row.libraries(),
                &row.wrappers(),
                &row.path.display().to_string(),
                &row.warnings.join("; "),
            ]);
        }
    }
}

impl StoreRow {
    fn libraries(&self) -> String {
        let names: Vec<&str> = self.libraries.iter().map(|row| &*row.library).collect();
        names.join(" ")
    }

    /// What the libraries use, each wrapper once.
    fn wrappers(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for name in self.libraries.iter().flat_map(|row| &row.wrappers) {
            if !names.contains(name) {
                names.push(name);
            }
        }
        names.join(", ")
    }
}

impl Content {
    /// As the JSON has it.
    fn words(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Plaintext => "plaintext",
            Self::Empty => "empty",
            Self::Marker => "marker",
            Self::Protected => "protected",
            Self::Unreadable => "unreadable",
        }
    }
}

fn number(count: Option<usize>) -> String {
    count.map(|count| count.to_string()).unwrap_or_default()
}
