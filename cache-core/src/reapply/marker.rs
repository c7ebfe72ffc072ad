//! An entry of our own that tells what the writer of a document had seen.
//!
//! Every write of ours puts a new generation of it into the document. Whoever reads the document, changes it and writes it
//! back has that generation in it; who writes what he had read before, or begins anew from nothing, has an older one or
//! none. So an entry that is gone was taken out, by a sign-out for example, if the marker is at least as new as the entry;
//! else it was dropped. App metadata cannot tell that: MSAL.NET keeps in memory what it has once read of it, and writes it
//! into a document that it begins anew (seen with 4.92).
//!
//! The marker is an access token of nobody's: no library lists it, asks for it, or removes it with an account.

use memchr::memmem;

use super::ReapplyJournal;
use crate::document::{UnifiedDocument, entry_of};
use crate::entry::{Entry, EntryId};
use crate::json::may_hold;
use crate::schema::{AccessToken, Entity as _, section};
use crate::secret::Blob;
use crate::time::UnixSeconds;

/// Which write of ours: each has a greater one than those before.
pub(super) type Generation = i64;

/// The home account id of the marker, and all else of it that is text; its secret ends in the generation.
const NOBODY: &str = "tokencache-marker";

impl ReapplyJournal {
    /// The document without the mark, as it is shown to whoever uses the cache.
    pub fn unmark(document: &Blob) -> Blob {
        if memmem::find(document.expose(), NOBODY.as_bytes()).is_none() {
            return document.clone();
        }
        let parsed = UnifiedDocument::parse(document).ok();
        let unmarked = parsed.and_then(|mut parsed| take(&mut parsed).map(|_| parsed.render()));
        unmarked.unwrap_or_else(|| document.clone())
    }
}

/// The document as it is written where careless writers share it, with the marker of this write.
pub(super) fn mark(document: &mut UnifiedDocument, generation: Generation) -> Blob {
    document.put(&marker(generation));
    document.render()
}

/// Takes the marker out, under whatever key text; answers its generation, `None` if there was none.
pub(super) fn take(document: &mut UnifiedDocument) -> Option<Generation> {
    let nobody = memmem::Finder::new(NOBODY);
    let is_marker = |entry: &Entry| entry.account.as_ref().is_some_and(|of| &*of.home_account_id == NOBODY);
    let tokens = document.raw_entries_of(section::ACCESS_TOKEN).filter(|(_, json)| may_hold(json.expose(), &nobody));
    let found: Vec<Entry> = tokens.map(|(id, json)| entry_of(id, json.clone())).filter(is_marker).collect();
    let generations = found.iter().map(|entry| {
        document.remove(&entry.id);
        let token = AccessToken::read(entry.id.key(), &entry.json);
        let secret = token.as_ref().map_or("", |token| token.secret.expose());
        secret.strip_prefix(NOBODY).and_then(|rest| rest.trim_start().parse().ok()).unwrap_or(0)
    });
    generations.max()
}

fn marker(generation: Generation) -> Entry {
    let token = AccessToken {
        home_account_id: Some(NOBODY.into()),
        environment: "login.windows.net".into(),
        client_id: NOBODY.into(),
        realm: NOBODY.into(),
        target: NOBODY.into(),
        secret: format!("{NOBODY} {generation}").into(),
        cached_at: Some(UnixSeconds(1)),
        // MSAL Python drops what has expired.
        expires_on: Some(UnixSeconds::MAX_PORTABLE),
        ..AccessToken::default()
    };
    let id = EntryId::new(AccessToken::SECTION, token.key());
    Entry { id, account: None, written_at: None, expires_on: None, json: token.write() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(document: &Blob) -> Blob {
        let mut document = UnifiedDocument::parse(document).expect("a document");
        take(&mut document);
        mark(&mut document, 1)
    }

    #[test]
    fn the_marker_comes_and_goes_without_a_trace() {
        let document = Blob::copy_of(br#"{"AccessToken":{"k":{"secret":"s"}},"RefreshToken":{},"IdToken":{},"Account":{},"AppMetadata":{},"x":[1]}"#);
        let with_it = marked(&document);
        assert_ne!(with_it, document);
        assert_eq!(marked(&with_it), with_it);
        assert_eq!(ReapplyJournal::unmark(&with_it), document);
        assert_eq!(ReapplyJournal::unmark(&document), document);
    }

    #[test]
    fn it_is_known_under_another_key_and_with_other_fields() {
        let marked = marked(&Blob::copy_of(b"{}"));
        let marked = String::from_utf8(marked.expose().to_vec()).expect("text");
        let rewritten = marked.replacen("\"tokencache-marker-", "\"Another-", 1).replace("\"Bearer\"", "null");
        assert_ne!(marked, rewritten);
        let document = ReapplyJournal::unmark(&Blob::new(rewritten.into_bytes()));
        assert!(UnifiedDocument::parse(&document).expect("a document").is_empty());
    }

    #[test]
    fn what_only_mentions_it_is_left_alone() {
        for text in [
            "{\"x\":\"tokencache-marker\"}",
            "tokencache-marker",
            r#"{"Account":{"k":{"home_account_id":"tokencache-marker"}}}"#,
        ] {
            let document = Blob::copy_of(text.as_bytes());
            assert_eq!(ReapplyJournal::unmark(&document), document);
        }
    }
}
