//! `copy`: everything in one store to another, read back.
//!
//! Each entry is put by the merge rules, in commits of a bounded size, and read back after its commit. What the target
//! holds already is not written again, so that a copy that broke off goes on where it was.

mod report;
mod transfer;

use cache_core::PartitionKey;

use self::transfer::{Target, Transfer};
use crate::address::Address;
use crate::args::{CopyStore, Location};
use crate::context::Context;
use crate::exit::Failure;
use crate::protection::{Protection, one_too_many};
use crate::store::{Store, is_taken};
use crate::text::counted;

/// Copies, and says what came of each entry. Exit 1: an entry could not be read, or is not in the target as it was
/// written. Exit 2: the arguments do not fit, or the target is not the user's own. Exit 4: there is nothing to copy.
pub(crate) fn run(args: &CopyStore, context: &Context) -> Result<(), Failure> {
    let (from, to) = (args.source(), args.target());
    check(&from, &to, context)?;
    let source = Store::open_to_look(&from, context)?;
    let partitions = source.partitions()?;
    let Some(first) = partitions.first() else {
        return Err(Failure::nothing(format!("nothing to copy: {} holds nothing", from.store)));
    };
    check_room(&partitions, &from, &to)?;
    // A source that does not open is told before anything is made.
    pollster::block_on(source.store().get(first, &[]))?;

    let store = if args.dry_run { look_at(&to, context)? } else { Some(Store::open_creating_key(&to, context)?) };
    let target = match &store {
        Some(store) if !args.dry_run => Target::Store(store.store()),
        store => Target::Rehearsal { held: store.as_ref().map(Store::store), clock: &context.clock },
    };
    let report = Transfer::new(source.store(), target, batch(&to.store)).run(&partitions)?;
    context.output.print(&report)?;
    report.verdict(&to.store)
}

/// How many changes a commit has. A store of entries takes them in place, and others write between two commits; a file is
/// replaced as a whole by each, so that many would only rewrite it many times.
fn batch(target: &Address) -> usize {
    if target.keeps_entries() { 1000 } else { usize::MAX }
}

/// Exit 2: the arguments do not fit each other.
fn check(from: &Location, to: &Location, context: &Context) -> Result<(), Failure> {
    if let Address::Preset(_) = to.store {
        return Err(Failure::usage(format!(
            "{} is the cache of another product; copy to another store, and see `tokencache import --write-shared`",
            to.store
        )));
    }
    if from.store.is_same(&to.store) {
        return Err(Failure::usage(format!("{} and {} are one place; name another target", from.store, to.store)));
    }
    let takes_passphrase = |side: &Location| !matches!(side.store, Address::Preset(_)) && !side.protection.is_given();
    if context.passphrase.is_some() && !takes_passphrase(from) && !takes_passphrase(to) {
        return Err(one_too_many());
    }
    if takes_passphrase(to) {
        // Said before anything is read, if there is none.
        Protection::chosen(to, context)?;
    }
    Ok(())
}

/// Exit 1: the target cannot hold all of these partitions.
fn check_room(partitions: &[PartitionKey], from: &Location, to: &Location) -> Result<(), Failure> {
    let others = partitions.iter().filter(|partition| **partition != PartitionKey::Shared).count();
    if others == 0 || to.store.keeps_entries() {
        return Ok(());
    }
    Err(Failure::error(format!(
        "{} holds the shared partition only, and {} has {} besides; nothing was copied: give sqlite:PATH or redis://HOST as the target",
        to.store,
        from.store,
        counted(others, "partition", "partitions")
    )))
}

/// The target as it is now, to be looked at; `None`: nothing stands there.
fn look_at(to: &Location, context: &Context) -> Result<Option<Store>, Failure> {
    if is_taken(to, context)? {
        return Store::open_to_look(to, context).map(Some);
    }
    // Only a key file may be missing: the copy makes it.
    if to.protection.key_file.as_ref().is_none_or(|path| path.exists()) {
        Protection::chosen(to, context)?;
    }
    Ok(None)
}
