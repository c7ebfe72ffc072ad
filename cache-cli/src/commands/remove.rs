//! `remove`: an account, everything of a client, or expired access tokens.

use std::sync::Arc;

use std::collections::HashSet;

use cache_core::schema::section;
use cache_core::{EntryId, PartitionKey, TokenCache, UnixSeconds};
use serde::Serialize;

use crate::accounts;
use crate::args::{Removal, Remove};
use crate::context::Context;
use crate::entry_name::{self, EntryNames};
use crate::exit::Failure;
use crate::output::{Cell, Page, Report, Rows};
use crate::store::Store;
use crate::text::counted;

/// Removes, and says what went. Exit 4: there was nothing to remove.
pub(crate) fn run(args: &Remove, context: &Context) -> Result<(), Failure> {
    let store = Store::open_to_write(&args.location, args.writing, context)?;
    let now = context.now();
    let updated = store.cache().update(&PartitionKey::Shared, |cache| -> Result<Removed, Failure> {
        let before = cache.clone();
        remove(cache, &args.what, now)?;
        Ok(Removed::of(&before, cache))
    })?;
    let kept: HashSet<String> = updated.skipped.iter().map(|(id, _)| entry_name::full(id)).collect();
    let mut report = updated.value?;
    (report.kept, report.removed) = report.removed.into_iter().partition(|row| kept.contains(&row.entry));
    if report.removed.is_empty() && report.kept.is_empty() {
        return Err(nothing(&args.what, &store.load()?, now));
    }
    context.output.print(&report)
}

/// What went, and what stayed since another process had changed it meanwhile.
#[derive(Debug, Serialize)]
struct Removed {
    removed: Vec<Row>,
    kept: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    id: String,
    entry: String,
    section: String,
}

fn remove(cache: &mut TokenCache, what: &Removal, now: UnixSeconds) -> Result<(), Failure> {
    match what {
        Removal { account: Some(name), .. } => {
            let home_account_id = accounts::find(cache, name, None)?;
            for environment in environments_of(cache, &home_account_id) {
                cache.remove_account(&home_account_id, &environment);
            }
        }
        Removal { client_id: Some(client_id), .. } => {
            cache.remove_client(client_id);
        }
        Removal { .. } => {
            cache.remove_expired(now);
        }
    }
    Ok(())
}

/// The clouds that hold anything of an account, each by one of its hosts.
fn environments_of(cache: &TokenCache, home_account_id: &str) -> Vec<Arc<str>> {
    let mut environments: Vec<Arc<str>> = Vec::new();
    for account in cache.entries().filter_map(|entry| entry.account) {
        let known = environments.iter().any(|known| cache.environments().same(known, &account.environment));
        if *account.home_account_id == *home_account_id && !known {
            environments.push(account.environment);
        }
    }
    environments
}

fn nothing(what: &Removal, cache: &TokenCache, now: UnixSeconds) -> Failure {
    match what {
        Removal { client_id: Some(client_id), .. } => Failure::nothing(format!(
            "nothing to remove: there is no entry of the client `{client_id}`; `tokencache list` shows what there is"
        )),
        _ => {
            let expired = |end: Option<UnixSeconds>| end.is_none_or(|end| end < now);
            let serving = cache.access_tokens().filter(|(_, token)| expired(token.expires_on)).count();
            let serving = match serving {
                0 => String::new(),
                count => {
                    format!("; {} during outages still", counted(count, "expired one serves", "expired ones serve"))
                }
            };
            Failure::nothing(format!("nothing to remove: no access token has expired for good{serving}"))
        }
    }
}

impl Removed {
    /// What `before` holds and `after` does not.
    fn of(before: &TokenCache, after: &TokenCache) -> Self {
        let names = EntryNames::of(before);
        let left: HashSet<EntryId> = after.entries().map(|entry| entry.id).collect();
        let gone = before.entries().map(|entry| entry.id).filter(|id| !left.contains(id));
        let mut removed: Vec<Row> = gone
            .map(|id| Row { id: names.short(&id), entry: entry_name::full(&id), section: id.section().to_owned() })
            .collect();
        removed.sort_by(|a, b| a.entry.cmp(&b.entry));
        Self { removed, kept: Vec::new() }
    }
}

impl Report for Removed {
    fn table(&self, page: &mut Page) {
        let words = [
            (section::ACCOUNT, "account entry", "account entries"),
            (section::ACCESS_TOKEN, "access token", "access tokens"),
            (section::REFRESH_TOKEN, "refresh token", "refresh tokens"),
            (section::ID_TOKEN, "ID token", "ID tokens"),
            (section::APP_METADATA, "application", "applications"),
        ];
        let counts: Vec<String> = words
            .iter()
            .map(|(section, one, many)| (self.removed.iter().filter(|row| row.section == *section).count(), one, many))
            .filter(|(count, ..)| *count > 0)
            .map(|(count, one, many)| counted(count, one, many))
            .collect();
        if !counts.is_empty() {
            page.line(format_args!("removed {}", counts.join(", ")));
            let rows: Vec<_> = self.removed.iter().map(|row| [Cell::of(&*row.id), Cell::of(&*row.entry)]).collect();
            page.table(rows.iter());
        }
        for Row { entry, .. } in &self.kept {
            page.line(format_args!("kept, another process has renewed it meanwhile: {entry}"));
        }
    }

    fn rows(&self, rows: &mut Rows) {
        for (what, list) in [("removed", &self.removed), ("kept", &self.kept)] {
            for row in list {
                rows.row(&[what, &row.id, &row.entry]);
            }
        }
    }
}
