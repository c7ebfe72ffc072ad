//! Whose records a partition may hold.
//!
//! Other libraries now and then store one user's tokens under another's key: Microsoft.Identity.Web when a value cannot be read,
//! MSAL Node when one application object serves several users.

use std::convert::Infallible;

use cache_core::merge::merge;
use cache_core::schema::{AccessToken, Entity as _, RefreshToken, section};
use cache_core::{Blob, Change, Entry, EntryId, PartitionKey, Result, UnifiedDocument, UnixMillis};

/// The document without what is another's, and how many entries that were.
pub(crate) fn own(partition: &PartitionKey, document: Blob) -> Result<(Blob, usize)> {
    let parsed = UnifiedDocument::parse(&document)?;
    let foreign: Vec<EntryId> =
        parsed.clone().into_entries().filter(|entry| is_foreign(partition, entry)).map(|entry| entry.id).collect();
    if foreign.is_empty() {
        return Ok((document, 0));
    }
    let count = foreign.len();
    Ok((without(parsed, foreign), count))
}

/// The document without these entries.
pub(crate) fn without(mut document: UnifiedDocument, ids: impl IntoIterator<Item = EntryId>) -> Blob {
    let removals = ids.into_iter().map(Change::remove).collect::<Vec<_>>();
    let Ok::<_, Infallible>(_) = merge(&mut document, &removals.into(), UnixMillis(0));
    document.render()
}

/// Whether the partition may hold something of the account: others' partitions are shown without it.
pub(crate) fn may_hold(partition: &PartitionKey, home_account_id: &str) -> bool {
    match partition {
        PartitionKey::User(own) => own.eq_ignore_ascii_case(home_account_id),
        PartitionKey::App(_) => false,
        _ => true,
    }
}

/// Whether the entry is known to belong into another partition. What names nobody stays.
fn is_foreign(partition: &PartitionKey, entry: &Entry) -> bool {
    let user = entry.account.as_ref().map(|account| &*account.home_account_id);
    match partition {
        PartitionKey::User(_) | PartitionKey::App(_) => user.is_some_and(|user| !may_hold(partition, user)),
        // MSAL Go pads the hash.
        PartitionKey::Obo(own) => {
            assertion_hash(entry).is_some_and(|hash| hash.trim_end_matches('=') != own.trim_end_matches('='))
        }
        _ => false,
    }
}

fn assertion_hash(entry: &Entry) -> Option<String> {
    let (key, json) = (entry.id.key(), &entry.json);
    let hash = match entry.id.section() {
        section::ACCESS_TOKEN => AccessToken::read(key, json)?.assertion_hash,
        section::REFRESH_TOKEN => RefreshToken::read(key, json)?.assertion_hash,
        _ => None,
    };
    hash.map(|hash| hash.expose().to_owned())
}

#[cfg(test)]
mod tests {
    use cache_testkit::entries::{access_token, account, app_metadata, id_token, refresh_token};

    use super::*;

    const HOST: &str = "login.windows.net";

    fn left(partition: &PartitionKey, entries: &[Entry]) -> Vec<String> {
        let mut document = UnifiedDocument::default();
        let puts: Vec<Change> = entries.iter().cloned().map(Change::put).collect();
        let Ok(_) = merge(&mut document, &puts.into(), UnixMillis(0));
        let (left, dropped) = own(partition, document.render()).expect("a document");
        let left = UnifiedDocument::parse(&left).expect("a document").into_entries();
        let left: Vec<String> = left.map(|entry| entry.id.key().to_owned()).collect();
        assert_eq!(left.len() + dropped, entries.len());
        left
    }

    #[test]
    fn a_users_partition_is_that_users() {
        let entries = [
            access_token("own").of("UID.utid", HOST).entry(),
            access_token("bobs").of("bob.utid", HOST).entry(),
            access_token("nobodys").entry(),
            refresh_token("bobs").of("bob.utid", HOST).entry(),
            id_token("bobs").of("bob.utid", HOST).entry(),
            account("bobs").of("bob.utid", HOST).entry(),
            account("own").of("uid.utid", HOST).entry(),
            app_metadata("apps").entry(),
        ];
        assert_eq!(left(&PartitionKey::user("uid.utid"), &entries), ["own", "nobodys", "own", "apps"]);
        assert_eq!(left(&PartitionKey::custom("uid.utid"), &entries).len(), entries.len());
    }

    #[test]
    fn an_applications_partition_is_no_users() {
        let entries = [access_token("apps").entry(), access_token("bobs").of("bob.utid", HOST).entry()];
        assert_eq!(left(&PartitionKey::app("client", Some("tenant")), &entries), ["apps"]);
    }

    #[test]
    fn an_assertions_partition_is_that_assertions() {
        let PartitionKey::Obo(own) = PartitionKey::obo("own") else { unreachable!("an assertion's") };
        let of =
            |key: &str, hash: &str| access_token(key).of("uid.utid", HOST).field("user_assertion_hash", hash).entry();
        let entries = [of("own", &own), of("padded", &format!("{own}=")), of("another", "x"), id_token("id").entry()];
        assert_eq!(left(&PartitionKey::Obo(own), &entries), ["own", "padded", "id"]);
    }
}
