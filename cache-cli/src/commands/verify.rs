//! `verify`: looks for damage.

use cache_sqlite::Verified;
use serde::Serialize;

use crate::address::Address;
use crate::args::Verify;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Page, Report, Rows};
use crate::progress::progress_bar;
use crate::store::{Store, database, is_taken};
use crate::text::counted;

/// Reads everything and says what is wrong. Exit 1: something is. Exit 4: there is nothing at the address.
pub(crate) fn run(args: &Verify, context: &Context) -> Result<(), Failure> {
    let location = &args.location;
    if !is_taken(location, context)? {
        return Err(Failure::nothing(format!("there is nothing at {}", location.store)));
    }
    let report = match &location.store {
        Address::Sqlite(path) => {
            let Verified { problems, entries, unreadable, .. } =
                pollster::block_on(database(path, location, context)?.verify())?;
            Verification { sound: problems.is_empty() && unreadable == 0, entries, unreadable, problems }
        }
        Address::Redis(_) => verify_entries(&Store::open_to_look(location, context)?)?,
        // A document opens as a whole or not at all.
        Address::File(_) | Address::Preset(_) => {
            let snapshot = Store::open_to_look(location, context)?.snapshot()?;
            let entries = snapshot.map_or(0, |snapshot| snapshot.entries.len());
            Verification { sound: true, entries, unreadable: 0, problems: Vec::new() }
        }
    };
    context.output.print(&report)?;
    report.verdict(&location.store)
}

/// Reads every partition.
fn verify_entries(store: &Store) -> Result<Verification, Failure> {
    let partitions = store.partitions()?;
    let bar = progress_bar(partitions.len() as u64, "partitions");
    let (mut entries, mut unreadable) = (0, 0);
    for partition in &partitions {
        if let Some(snapshot) = store.snapshot_of(partition)? {
            entries += snapshot.entries.len();
            unreadable += snapshot.unreadable.len();
        }
        bar.inc(1);
    }
    Ok(Verification { sound: unreadable == 0, entries, unreadable, problems: Vec::new() })
}

/// What was found.
#[derive(Debug, Serialize)]
struct Verification {
    sound: bool,
    entries: usize,
    unreadable: usize,
    problems: Vec<String>,
}

impl Verification {
    fn verdict(&self, address: &Address) -> Result<(), Failure> {
        if self.sound {
            return Ok(());
        }
        if let Address::Redis(_) = address {
            return Err(Failure::error(format!(
                "{} of {address} cannot be read; each is replaced when it is written again, as by `tokencache import`",
                counted(self.unreadable, "entry", "entries")
            )));
        }
        Err(Failure::error(format!(
            "{address} is damaged; `tokencache recover` makes a new database out of what can be read, and keeps the \
             damaged one"
        )))
    }
}

impl Report for Verification {
    fn table(&self, page: &mut Page) {
        let readable = counted(self.entries, "entry is readable", "entries are readable");
        page.line(format_args!("{readable}, {} not", self.unreadable));
        for problem in &self.problems {
            page.line(problem);
        }
        if self.sound {
            page.line("Nothing is wrong.");
        }
    }

    fn rows(&self, rows: &mut Rows) {
        rows.row(&["sound", if self.sound { "true" } else { "false" }]);
        rows.row(&["entries", &self.entries.to_string()]);
        rows.row(&["unreadable", &self.unreadable.to_string()]);
        for problem in &self.problems {
            rows.row(&["problem", problem]);
        }
    }
}
