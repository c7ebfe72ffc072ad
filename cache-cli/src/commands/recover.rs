//! `recover`: a new database out of what can be read of a damaged one.

use std::path::PathBuf;

use cache_sqlite::Recovered;
use serde::Serialize;

use crate::address::Address;
use crate::args::Recover;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Page, Report, Rows};
use crate::store::{database, is_taken};
use crate::text::counted;

/// Replaces a damaged database; one that is sound stays as it is. Exit 2: the store is no database. Exit 4: there is
/// nothing at the address.
pub(crate) fn run(args: &Recover, context: &Context) -> Result<(), Failure> {
    let location = &args.location;
    let Address::Sqlite(path) = &location.store else {
        return Err(Failure::usage(format!(
            "recover is for sqlite:PATH, which {} is not; `tokencache import --salvage` takes what is whole in a document",
            location.store
        )));
    };
    if !is_taken(location, context)? {
        return Err(Failure::nothing(format!("there is nothing at {}", location.store)));
    }
    let Recovered { aside, kept, lost, .. } = pollster::block_on(database(path, location, context)?.recover())?;
    context.output.print(&Recovery { aside, kept, lost })
}

/// What was done.
#[derive(Debug, Serialize)]
struct Recovery {
    aside: Option<PathBuf>,
    kept: usize,
    lost: usize,
}

impl Report for Recovery {
    fn table(&self, page: &mut Page) {
        match &self.aside {
            Some(aside) => {
                let kept = counted(self.kept, "entry", "entries");
                page.line(format_args!("{kept} kept, {} lost; the damaged database is {}", self.lost, aside.display()));
            }
            None => page.line("Nothing is wrong; nothing was done."),
        }
    }

    fn rows(&self, rows: &mut Rows) {
        rows.row(&["aside", &self.aside.as_ref().map(|path| path.display().to_string()).unwrap_or_default()]);
        rows.row(&["kept", &self.kept.to_string()]);
        rows.row(&["lost", &self.lost.to_string()]);
    }
}
