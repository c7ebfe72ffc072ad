//! `demo-verify`: the fresh process that looks for every acknowledged update.

use std::io::{self, BufRead as _};

use cache_core::Version;
use serde::{Deserialize, Serialize};

use super::document_entries;
use super::token::{Update, query};
use crate::args::DemoVerify;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::Output;
use crate::store::Store;

/// What the verifying process found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Verified {
    /// How many updates it was to look for.
    pub(crate) acknowledged: usize,
    /// Those that are not there.
    pub(crate) lost: Vec<Update>,
    /// How many entries the cache holds.
    pub(crate) entries: usize,
    /// How many entries of the imported document are not there as they were.
    pub(crate) imported_lost: usize,
}

/// Reads updates from standard input, one a line, and says which of them the cache does not hold. Exit 1: there are
/// such.
pub(crate) fn run(args: &DemoVerify, context: &Context) -> Result<(), Failure> {
    let store = Store::open(&args.location, context)?;
    let cache = store.load()?;
    let now = context.now();

    let lines = io::stdin().lock().lines();
    let updates: Vec<Update> = lines
        .map(|line| {
            let line = line.map_err(|error| Failure::io("reading standard input", &error))?;
            line.parse().map_err(Failure::usage)
        })
        .collect::<Result<_, Failure>>()?;
    let is_there = |update: &Update| {
        cache.access_token(&query(&update.scope()), now).is_some_and(|token| token.secret.expose() == update.secret())
    };
    let lost: Vec<Update> = updates.iter().filter(|update| !is_there(update)).copied().collect();

    let held = store.snapshot()?.map(|snapshot| snapshot.entries).unwrap_or_default();
    let imported_lost = document_entries()?.into_iter().filter(|entry| {
        let same = |json| Version::of_content(json) == Version::of_content(&entry.json);
        !held.iter().any(|held| held.entry.id == entry.id && same(&held.entry.json))
    });
    let verified =
        Verified { acknowledged: updates.len(), lost, entries: held.len(), imported_lost: imported_lost.count() };
    Output::json(&verified)?;
    match verified.lost.len() {
        0 => Ok(()),
        lost => Err(Failure::error(format!("{lost} of {} acknowledged updates are not in the cache", updates.len()))),
    }
}
