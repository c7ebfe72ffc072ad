//! A commit in the making.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use super::Partition;
use super::rows::{Row, Tag, Tags, client};
use crate::entry::{Entry, EntryId, Version};
use crate::merge::{Entries, Facts};

/// What a commit writes, on top of rows that stay as they are until the whole commit is decided. The entries that it is
/// handed are the writer's own; of stored ones it sees rows.
pub(super) struct Journal<'a> {
    tags: &'a Tags,
    stored: &'a Partition,
    written: BTreeMap<Tag, Option<Row>>,
    /// How many `Account` entries of each account came, less those that went.
    accounts: BTreeMap<Tag, isize>,
}

impl<'a> Journal<'a> {
    /// Nothing is written yet.
    pub(super) fn new(tags: &'a Tags, stored: &'a Partition) -> Self {
        Self { tags, stored, written: BTreeMap::new(), accounts: BTreeMap::new() }
    }

    /// What differs from the rows underneath: an entry that came and went in one commit does not.
    pub(super) fn into_changes(mut self) -> BTreeMap<Tag, Option<Row>> {
        self.written.retain(|tag, row| match (row, self.stored.rows.get(tag)) {
            (Some(new), Some(old)) => new.version != old.version,
            (None, None) => false,
            _ => true,
        });
        self.written
    }

    fn row(&self, tag: &[u8]) -> Option<&Row> {
        match self.written.get(tag) {
            Some(written) => written.as_ref(),
            None => self.stored.rows.get(tag),
        }
    }

    fn rows(&self) -> impl Iterator<Item = (&Tag, &Row)> {
        let untouched = self.stored.rows.iter().filter(|(tag, _)| !self.written.contains_key(*tag));
        untouched.chain(self.written.iter().filter_map(|(tag, row)| Some((tag, row.as_ref()?))))
    }

    fn write(&mut self, tag: Tag, row: Option<Row>) {
        let account = |row: Option<&Row>| row.and_then(Row::names_account).cloned();
        for (account, change) in [(account(self.row(&tag)), -1), (account(row.as_ref()), 1)] {
            if let Some(account) = account {
                *self.accounts.entry(account).or_default() += change;
            }
        }
        self.written.insert(tag, row);
    }

    fn account_tags(&self, home_account_id: &str, environments: &[Box<str>]) -> Vec<Tag> {
        // An entry that names no host goes with its user in any cloud.
        let hosts = environments.iter().map(|environment| &**environment).chain([""]);
        hosts.map(|host| self.tags.account(home_account_id, host)).collect()
    }
}

impl Entries for Journal<'_> {
    type Error = Infallible;

    fn facts(&mut self, entry: &Entry) -> Result<Option<Facts>, Infallible> {
        let same_content = |facts: &Facts| facts.version == self.tags.version(entry);
        let facts = self.row(&self.tags.id(&entry.id)).map(facts_of);
        Ok(facts.map(|facts| Facts { same_content: same_content(&facts), ..facts }))
    }

    fn facts_of(&mut self, id: &EntryId) -> Result<Option<Facts>, Infallible> {
        Ok(self.row(&self.tags.id(id)).map(facts_of))
    }

    fn holds_account(&mut self, home_account_id: &str, environments: &[Box<str>]) -> Result<bool, Infallible> {
        let tags = self.account_tags(home_account_id, environments);
        Ok(tags.iter().any(|tag| {
            let stored = self.stored.accounts.get(tag).copied().unwrap_or_default();
            stored.saturating_add_signed(self.accounts.get(tag).copied().unwrap_or_default()) > 0
        }))
    }

    fn put(&mut self, entry: &Entry) -> Result<(), Infallible> {
        self.write(self.tags.id(&entry.id), Some(client::seal(self.tags, entry)));
        Ok(())
    }

    fn remove(&mut self, id: &EntryId) -> Result<(), Infallible> {
        self.write(self.tags.id(id), None);
        Ok(())
    }

    fn remove_account(&mut self, home_account_id: &str, environments: &[Box<str>]) -> Result<(), Infallible> {
        let tags = self.account_tags(home_account_id, environments);
        let gone = |row: &Row| row.account.as_ref().is_some_and(|tag| tags.contains(tag));
        let gone: Vec<Tag> = self.rows().filter(|(_, row)| gone(row)).map(|(tag, _)| Arc::clone(tag)).collect();
        for tag in gone {
            self.write(tag, None);
        }
        Ok(())
    }

    fn version(&self, entry: &Entry) -> Version {
        self.tags.version(entry)
    }
}

fn facts_of(row: &Row) -> Facts {
    Facts { written_at: row.written_at, version: row.version.clone(), same_content: false }
}
