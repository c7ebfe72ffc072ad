use super::*;
use crate::schema::{AccessToken, Account, AppMetadata, IdToken, RefreshToken};
use crate::time::UnixSeconds;
use crate::token_cache::TokenResponse;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const HOST: &str = "login.microsoftonline.com";
const OURS: &str = "our-client";
const THEIRS: &str = "their-client";
const ALICE: &str = "alice.tenant";

fn later(seconds: i64) -> UnixMillis {
    UnixMillis(NOW.0 + seconds * 1000)
}

fn access_token(client: &str, target: &str, secret: &str, cached_at: UnixMillis) -> AccessToken {
    AccessToken {
        home_account_id: Some(ALICE.into()),
        environment: HOST.into(),
        client_id: client.into(),
        realm: "tenant".into(),
        target: target.into(),
        secret: secret.into(),
        cached_at: Some(cached_at.to_seconds()),
        expires_on: Some(cached_at.to_seconds().plus(3600)),
        ..AccessToken::default()
    }
}

fn refresh_token(client: &str, secret: &str) -> RefreshToken {
    RefreshToken {
        home_account_id: ALICE.into(),
        environment: HOST.into(),
        client_id: client.into(),
        secret: secret.into(),
        ..RefreshToken::default()
    }
}

fn sign_in(cache: &mut TokenCache, client: &str, n: &str) {
    let account = Account {
        home_account_id: ALICE.into(),
        environment: HOST.into(),
        realm: "tenant".into(),
        local_account_id: "alice".into(),
        username: "alice@example.com".into(),
        authority_type: "MSSTS".into(),
        ..Account::default()
    };
    let app_metadata = AppMetadata { client_id: client.into(), environment: HOST.into(), ..AppMetadata::default() };
    let response = TokenResponse {
        access_token: Some(access_token(client, "read", &format!("at-{n}"), NOW)),
        refresh_token: Some(refresh_token(client, &format!("rt-{n}"))),
        id_token: None::<IdToken>,
        account: Some(account),
        app_metadata: Some(app_metadata),
    };
    cache.sign_in(response).expect("complete");
}

/// A shared document, and our journal of it.
struct Shared {
    journal: ReapplyJournal,
    document: Option<Blob>,
}

impl Shared {
    fn new(keeps_copy: bool) -> Self {
        Self { journal: ReapplyJournal::new(keeps_copy), document: None }
    }

    fn cache(&self) -> TokenCache {
        self.document
            .as_ref()
            .map_or_else(TokenCache::default, |bytes| TokenCache::deserialize(bytes.expose()).expect("sound"))
    }

    /// A write of ours, as a store makes it.
    fn we_write(&mut self, at: UnixMillis, change: impl FnOnce(&mut TokenCache)) {
        self.look(at);
        let before = self.document.as_ref().map(ReapplyJournal::unmark);
        let mut cache = TokenCache::deserialize(before.as_ref().map_or(&[], Blob::expose)).expect("sound");
        change(&mut cache);
        let mut after = cache.serialize();
        if self.document.is_none() {
            after = self.journal.reconcile(Seen::Begun(&after), at).document.unwrap_or(after);
        }
        self.journal.note(before.as_ref(), Some(&after), at);
        self.document = Some(self.journal.mark(&after));
        self.reopen();
    }

    /// A write of another library.
    fn they_write(&mut self, change: impl FnOnce(&mut TokenCache)) {
        let mut cache = self.cache();
        change(&mut cache);
        self.document = Some(cache.serialize());
    }

    /// A write of a library that had read the document before any of our writes.
    fn they_drop(&mut self, change: impl FnOnce(&mut TokenCache)) {
        self.document = self.document.as_ref().map(ReapplyJournal::unmark);
        self.they_write(change);
    }

    fn look(&mut self, at: UnixMillis) -> Reapplied {
        let seen = self.document.clone();
        let done = self.journal.reconcile(seen.as_ref().map_or(Seen::Nothing, Seen::Document), at);
        if let Some(document) = &done.document {
            self.journal.note(Some(document), Some(document), at);
        }
        self.document = done.document.as_ref().map(|document| self.journal.mark(document)).or(seen);
        self.reopen();
        done
    }

    /// Another process takes over.
    fn reopen(&mut self) {
        let keeps_copy = self.journal.keeps_copy;
        self.journal = match self.journal.to_bytes() {
            Some(bytes) => ReapplyJournal::from_bytes(&bytes, keeps_copy),
            None => ReapplyJournal::new(keeps_copy),
        };
    }

    fn secrets(&self) -> Vec<String> {
        let cache = self.cache();
        let found = cache.credentials_of(ALICE, HOST);
        let mut secrets: Vec<String> = found.into_iter().map(|(_, secret)| secret.expose().to_owned()).collect();
        secrets.sort();
        secrets
    }

    fn has_account(&self) -> bool {
        self.cache().holds_account(ALICE, HOST)
    }
}

/// As we leave it after a sign-in of ours and one of a neighbour.
fn signed_in(keeps_copy: bool) -> Shared {
    let mut shared = Shared::new(keeps_copy);
    shared.they_write(|cache| sign_in(cache, THEIRS, "theirs"));
    shared.we_write(NOW, |cache| sign_in(cache, OURS, "ours"));
    shared
}

fn remove_token(cache: &mut TokenCache, secret: &str) {
    let found = cache.credentials_of(ALICE, HOST);
    let id = found.iter().find(|(_, known)| known.expose() == secret).map(|(id, _)| id.clone());
    assert!(cache.remove(&id.expect("is there")));
}

#[test]
fn what_stands_is_let_go_of_after_a_minute() {
    let mut shared = signed_in(false);
    assert!(shared.look(later(59)).document.is_none());
    assert!(shared.journal.to_bytes().is_some());
    assert!(shared.look(later(60)).document.is_none());
    assert!(shared.journal.to_bytes().is_none(), "confirmed");
    shared.they_write(|cache| remove_token(cache, "rt-ours"));
    assert!(shared.look(later(61)).document.is_none(), "nothing waits for it any more");
}

#[test]
fn what_others_drop_is_put_back() {
    for keeps_copy in [false, true] {
        let mut shared = signed_in(keeps_copy);
        for at in [1, 2, 59] {
            shared.they_drop(|cache| {
                remove_token(cache, "rt-ours");
                remove_token(cache, "at-ours");
            });
            assert_eq!(shared.look(later(at)).put_back, 2);
            assert_eq!(shared.secrets(), ["at-ours", "at-theirs", "rt-ours", "rt-theirs"]);
        }
    }
}

#[test]
fn nothing_is_put_back_after_ten_minutes() {
    let mut shared = signed_in(false);
    shared.they_write(|cache| remove_token(cache, "rt-ours"));
    assert!(shared.look(later(600)).document.is_none());
    assert!(shared.journal.to_bytes().is_none());
}

#[test]
fn another_key_text_is_the_same_entry() {
    let mut shared = signed_in(false);
    let text = String::from_utf8(shared.cache().serialize().expose().to_vec()).expect("text");
    // As MSAL Node spells the keys of refresh tokens.
    let text = text.replace("-refreshtoken-our-client--\"", "-refreshtoken-our-client---\"");
    shared.document = Some(Blob::new(text.into_bytes()));
    assert!(shared.look(later(1)).document.is_none());
}

#[test]
fn the_newer_one_of_somebody_else_stays() {
    let mut shared = signed_in(false);
    shared.they_write(|cache| {
        cache.insert(refresh_token(OURS, "rt-newer")).expect("complete");
        cache.insert(access_token(OURS, "read write", "at-newer", later(5))).expect("complete");
    });
    assert_eq!(shared.look(later(6)).put_back, 0);
    assert_eq!(shared.secrets(), ["at-newer", "at-theirs", "rt-newer", "rt-theirs"]);
}

#[test]
fn the_older_one_that_others_bring_back_goes() {
    let mut shared = signed_in(false);
    let stale = shared.document.clone();
    shared.we_write(later(1), |cache| {
        cache.insert(refresh_token(OURS, "rt-second")).expect("complete");
        cache.insert(access_token(OURS, "read write", "at-second", later(1))).expect("complete");
    });
    shared.document = stale.clone();
    assert_eq!(shared.look(later(2)).put_back, 2);
    assert_eq!(shared.secrets(), ["at-second", "at-theirs", "rt-second", "rt-theirs"]);
    // Nor does the one before the last come back.
    shared.we_write(later(3), |cache| {
        cache.insert(refresh_token(OURS, "rt-third")).expect("complete");
    });
    shared.document = stale;
    shared.look(later(4));
    assert!(shared.secrets().contains(&"rt-third".to_owned()));
}

#[test]
fn an_older_intersecting_token_gives_way() {
    let mut shared = signed_in(false);
    shared.they_drop(|cache| {
        remove_token(cache, "at-ours");
        cache.insert(access_token(OURS, "read write", "at-older", later(-100))).expect("complete");
    });
    assert_eq!(shared.look(later(1)).put_back, 1);
    assert_eq!(shared.secrets(), ["at-ours", "at-theirs", "rt-ours", "rt-theirs"]);
}

#[test]
fn what_we_replaced_ourselves_does_not_come_back() {
    let mut shared = signed_in(false);
    shared.we_write(later(1), |cache| remove_token(cache, "at-ours"));
    assert!(shared.look(later(2)).document.is_none());
    assert!(!shared.secrets().contains(&"at-ours".to_owned()));
}

#[test]
fn a_sign_out_by_others_cancels() {
    for keeps_copy in [false, true] {
        let mut shared = signed_in(keeps_copy);
        shared.they_write(|cache| assert!(cache.remove_account(ALICE, HOST)));
        assert_eq!(shared.look(later(1)).signed_out, 1);
        assert_eq!(shared.secrets(), [""; 0]);
        // For good: also when the account comes again.
        shared.they_write(|cache| sign_in(cache, THEIRS, "again"));
        shared.look(later(2));
        assert_eq!(shared.secrets(), ["at-again", "rt-again"]);
        // And when everything is lost: the copy knows of it.
        let done = shared.journal.reconcile(Seen::Wiped, later(3));
        let left = done.document.map(|bytes| TokenCache::deserialize(bytes.expose()).expect("sound"));
        assert!(left.is_none_or(|cache| cache.credentials_of(ALICE, HOST).is_empty()), "copy: {keeps_copy}");
    }
}

#[test]
fn what_was_put_back_during_a_sign_out_goes_with_it() {
    let mut shared = signed_in(false);
    // MSAL Python takes the refresh tokens first, and the accounts last.
    shared.they_drop(|cache| remove_token(cache, "rt-ours"));
    assert_eq!(shared.look(later(1)).put_back, 1);
    shared.they_write(|cache| {
        let account = cache.entries().find(|entry| entry.id.section() == section::ACCOUNT).expect("is there");
        remove_token(cache, "at-ours");
        remove_token(cache, "at-theirs");
        remove_token(cache, "rt-theirs");
        assert!(cache.remove(&account.id));
    });
    assert_eq!(shared.secrets(), ["rt-ours"]);
    shared.look(later(2));
    assert_eq!(shared.secrets(), [""; 0]);
}

#[test]
fn a_sign_out_and_a_new_sign_in_between_two_looks_is_told_by_what_was_settled() {
    let mut shared = signed_in(false);
    shared.look(later(61));
    shared.we_write(later(62), |cache| {
        cache.insert(access_token(OURS, "more", "at-more", later(62))).expect("complete");
    });
    shared.they_write(|cache| {
        cache.remove_account(ALICE, HOST);
        sign_in(cache, THEIRS, "again");
    });
    shared.look(later(63));
    assert_eq!(shared.secrets(), ["at-again", "rt-again"]);
}

#[test]
fn a_document_that_began_anew_gets_our_entries_back() {
    let mut shared = signed_in(false);
    shared.document = None;
    assert!(shared.look(later(1)).document.is_none(), "a missing document stays missing");
    shared.they_write(|cache| {
        let metadata = AppMetadata { client_id: THEIRS.into(), environment: HOST.into(), ..AppMetadata::default() };
        cache.insert(metadata).expect("complete");
    });
    shared.look(later(2));
    assert_eq!(shared.secrets(), ["at-ours", "rt-ours"]);
    assert!(shared.has_account());
    assert!(shared.cache().app_metadata(HOST, OURS).is_some());
    // And then a sign-out is a sign-out again.
    shared.they_write(|cache| assert!(cache.remove_account(ALICE, HOST)));
    shared.look(later(3));
    assert_eq!(shared.secrets(), [""; 0]);
}

#[test]
fn a_refresh_takes_its_account_along() {
    let mut shared = signed_in(false);
    shared.look(later(61));
    assert!(shared.journal.to_bytes().is_none());
    shared.we_write(later(62), |cache| {
        cache.insert(access_token(OURS, "more", "at-more", later(62))).expect("complete");
    });
    shared.document = Some(Blob::copy_of(b"{}"));
    shared.look(later(63));
    assert_eq!(shared.secrets(), ["at-more", "rt-ours"]);
    assert!(shared.has_account());
    assert!(shared.cache().app_metadata(HOST, OURS).is_some());
}

#[test]
fn damage_is_made_good_from_the_copy() {
    let mut shared = signed_in(true);
    shared.look(later(61));
    let done = shared.journal.reconcile(Seen::Wiped, later(62));
    assert_eq!((done.restored > 0, done.put_back), (true, 0));
    shared.document = done.document;
    assert_eq!(shared.secrets(), ["at-ours", "at-theirs", "rt-ours", "rt-theirs"]);
    // Without a copy there is nothing to be had.
    let mut shared = signed_in(false);
    shared.look(later(61));
    assert!(shared.journal.reconcile(Seen::Wiped, later(62)).document.is_none());
}

#[test]
fn a_salvage_is_completed_and_no_sign_out_undone() {
    let mut shared = signed_in(true);
    let mut cut = shared.cache();
    remove_token(&mut cut, "rt-theirs");
    let salvage = cut.serialize();
    let done = shared.journal.reconcile(Seen::Salvage(&salvage), later(1));
    shared.document = done.document;
    assert_eq!(shared.secrets(), ["at-ours", "at-theirs", "rt-ours", "rt-theirs"]);

    let mut shared = signed_in(true);
    let mut cut = shared.cache();
    cut.remove_account(ALICE, HOST);
    let salvage = cut.serialize();
    assert!(shared.journal.reconcile(Seen::Salvage(&salvage), later(1)).document.is_none());
}

#[test]
fn refresh_tokens_that_a_tear_took_are_no_sign_out() {
    let mut shared = signed_in(true);
    shared.look(later(61));
    shared.we_write(later(62), |cache| {
        cache.insert(access_token(OURS, "more", "at-more", later(62))).expect("complete");
    });
    let mut cut = shared.cache();
    remove_token(&mut cut, "rt-ours");
    let after_it = cut.entries().filter(|entry| entry.id.section() == section::APP_METADATA);
    let after_it: Vec<EntryId> = after_it.map(|entry| entry.id).collect();
    assert!(after_it.iter().all(|id| cut.remove(id)));
    let salvage = cut.serialize();
    let done = shared.journal.reconcile(Seen::Salvage(&salvage), later(63));
    assert_eq!((done.put_back, done.signed_out), (2, 0));
}

#[test]
fn a_sign_out_is_told_without_app_metadata() {
    let without_metadata = |shared: &mut Shared| {
        shared.we_write(NOW, |cache| {
            sign_in(cache, OURS, "ours");
            let metadata = cache.entries().find(|entry| entry.id.section() == section::APP_METADATA);
            assert!(cache.remove(&metadata.expect("is there").id));
        });
    };
    let mut shared = Shared::new(false);
    without_metadata(&mut shared);
    shared.they_write(|cache| assert!(cache.remove_account(ALICE, HOST)));
    assert_eq!(shared.look(later(1)).signed_out, 1);
    assert_eq!(shared.secrets(), [""; 0]);

    let mut shared = Shared::new(false);
    without_metadata(&mut shared);
    shared.document = Some(Blob::copy_of(b"{}"));
    shared.look(later(1));
    assert_eq!(shared.secrets(), ["at-ours", "rt-ours"]);
}

/// MSAL.NET keeps app metadata in memory, and writes it into the document that it begins anew with a sign-in of its own.
#[test]
fn app_metadata_that_comes_back_is_no_sign_out() {
    for same_user in [true, false] {
        for keeps_copy in [true, false] {
            let mut shared = signed_in(keeps_copy);
            shared.look(later(61));
            shared.we_write(later(62), |cache| {
                cache.insert(access_token(OURS, "more", "at-more", later(62))).expect("complete");
            });
            shared.document = None;
            shared.they_write(|cache| {
                let metadata =
                    AppMetadata { client_id: OURS.into(), environment: HOST.into(), ..AppMetadata::default() };
                cache.insert(metadata).expect("complete");
                if same_user {
                    sign_in(cache, THEIRS, "again");
                }
            });
            shared.look(later(63));
            let theirs: &[&str] =
                if same_user { &["at-again", "at-more", "rt-again", "rt-ours"] } else { &["at-more", "rt-ours"] };
            assert_eq!(shared.secrets(), theirs, "copy: {keeps_copy}");
            // And a sign-out is a sign-out again.
            shared.they_write(|cache| assert!(cache.remove_account(ALICE, HOST)));
            shared.look(later(64));
            assert_eq!(shared.secrets(), [""; 0], "copy: {keeps_copy}");
        }
    }
}

#[test]
fn a_marker_that_was_dropped_comes_back_and_is_not_missed_where_others_stand() {
    let mut shared = signed_in(true);
    let unmarked = shared.document.as_ref().map(ReapplyJournal::unmark);
    shared.document.clone_from(&unmarked);
    assert!(shared.look(later(1)).document.is_some());
    assert_ne!(shared.document, unmarked);
    // Dropped by who had not seen it, and signed the user out, while the token of an application stays.
    let mut shared = Shared::new(true);
    shared.they_write(|cache| {
        let app = AccessToken { home_account_id: None, ..access_token(THEIRS, "api/.default", "at-app", NOW) };
        cache.insert(app).expect("complete");
        sign_in(cache, OURS, "ours");
    });
    shared.we_write(NOW, |cache| cache.insert(access_token(OURS, "more", "at-more", NOW)).expect("complete"));
    shared.they_drop(|cache| assert!(cache.remove_account(ALICE, HOST)));
    assert_eq!(shared.look(later(1)).signed_out, 1);
    assert_eq!(shared.secrets(), [""; 0]);
}

#[test]
fn an_expired_token_is_not_put_back() {
    let mut shared = Shared::new(true);
    shared.they_write(|cache| sign_in(cache, OURS, "theirs"));
    let expired =
        AccessToken { expires_on: Some(UnixSeconds(NOW.to_seconds().0 + 10)), ..access_token(OURS, "x", "at-x", NOW) };
    shared.we_write(NOW, |cache| cache.insert(expired).expect("complete"));
    shared.they_write(|cache| remove_token(cache, "at-x"));
    shared.look(later(11));
    assert!(!shared.secrets().contains(&"at-x".to_owned()));
    let done = shared.journal.reconcile(Seen::Wiped, later(12));
    shared.document = done.document;
    assert_eq!(shared.secrets(), ["at-theirs", "rt-theirs"]);
}

#[test]
fn our_sign_out_stays_whatever_others_bring_back() {
    let mut shared = signed_in(true);
    let stale = shared.document.clone();
    shared.we_write(later(1), |cache| assert!(cache.remove_account(ALICE, HOST)));
    shared.document = stale.clone();
    assert!(shared.look(later(2)).removed_again > 0);
    assert_eq!(shared.secrets(), [""; 0]);
    assert!(!shared.has_account());
    // But who signs in anew stays, without the old tokens.
    shared.document = stale;
    shared.they_write(|cache| {
        cache.insert(refresh_token(THEIRS, "rt-new")).expect("complete");
    });
    shared.look(later(3));
    assert_eq!(shared.secrets(), ["rt-new"]);
    assert!(shared.has_account());
    // Also if that is us.
    shared.we_write(later(4), |cache| sign_in(cache, OURS, "again"));
    shared.look(later(5));
    assert!(shared.secrets().contains(&"rt-again".to_owned()));
}

#[test]
fn what_we_write_for_the_account_after_our_sign_out_stays() {
    let mut shared = signed_in(false);
    shared.we_write(later(1), |cache| assert!(cache.remove_account(ALICE, HOST)));
    // An identity provider may give the same token again.
    shared.we_write(later(2), |cache| cache.insert(refresh_token(OURS, "rt-ours")).expect("complete"));
    shared.look(later(3));
    assert_eq!(shared.secrets(), ["rt-ours"]);

    let mut shared = signed_in(false);
    shared.we_write(later(1), |cache| assert!(cache.remove_account(ALICE, HOST)));
    shared.we_write(later(2), |cache| {
        let account = Account {
            home_account_id: ALICE.into(),
            environment: HOST.into(),
            realm: "tenant".into(),
            ..Account::default()
        };
        cache.insert(account).expect("complete");
    });
    shared.look(later(3));
    assert!(shared.has_account());
}

#[test]
fn unknown_data_and_app_tokens_are_put_back_by_what_they_are() {
    let app = AccessToken { home_account_id: None, ..access_token(OURS, "api/.default", "at-app", NOW) };
    let mut shared = Shared::new(false);
    shared.we_write(NOW, |cache| {
        cache.insert(app).expect("complete");
        let id = EntryId::new("Extra", "");
        let json = Blob::copy_of(b"[1]");
        cache.insert_entry(Entry { id, account: None, written_at: None, expires_on: None, json });
    });
    shared.document = Some(Blob::copy_of(b"{}"));
    assert_eq!(shared.look(later(1)).put_back, 2);
    let text = shared.document.clone().expect("is there");
    let text = std::str::from_utf8(text.expose()).expect("text");
    assert!(text.contains("at-app") && text.contains("\"Extra\":[1]"), "{text}");
    // Another content under the id is somebody else's.
    shared.document = Some(Blob::copy_of(br#"{"Extra":[2]}"#));
    shared.look(later(2));
    let text = shared.document.clone().expect("is there");
    assert!(std::str::from_utf8(text.expose()).expect("text").contains("\"Extra\":[2]"));
    shared.document = Some(Blob::copy_of(b"{}"));
    shared.look(later(3));
    let text = shared.document.expect("is there");
    assert!(!std::str::from_utf8(text.expose()).expect("text").contains("Extra"), "it was somebody else's to remove");
}

#[test]
fn a_user_without_an_account_entry_is_not_waited_for() {
    let mut shared = Shared::new(false);
    shared.we_write(NOW, |cache| cache.insert(refresh_token(OURS, "rt")).expect("complete"));
    assert!(shared.journal.to_bytes().is_none());
}

#[test]
fn a_damaged_journal_holds_nothing() {
    let shared = signed_in(true);
    let bytes = shared.journal.to_bytes().expect("holds something");
    for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        assert!(ReapplyJournal::from_bytes(&bytes.slice(0..cut), true).to_bytes().is_none(), "{cut}");
    }
    let whole = ReapplyJournal::from_bytes(&bytes, true);
    assert_eq!(whole.to_bytes().map(|bytes| bytes.len()), Some(bytes.len()));
    assert!(!format!("{whole:?}").contains("rt-ours"));
}

fn guest_account(realm: &str) -> Account {
    Account {
        home_account_id: ALICE.into(),
        environment: HOST.into(),
        realm: realm.into(),
        local_account_id: realm.into(),
        username: format!("alice@{realm}").into(),
        authority_type: "MSSTS".into(),
        ..Account::default()
    }
}

fn remove_account_entry(cache: &mut TokenCache, realm: &str) {
    let of_realm = |entry: &Entry| {
        entry.id.section() == section::ACCOUNT
            && std::str::from_utf8(entry.json.expose())
                .is_ok_and(|json| json.contains(&format!("\"realm\":\"{realm}\"")))
    };
    let id = cache.entries().find(of_realm).expect("is there").id;
    assert!(cache.remove(&id));
}

/// The document before our sign-in.
fn before_ours() -> Option<Blob> {
    let mut shared = Shared::new(false);
    shared.they_write(|cache| sign_in(cache, THEIRS, "theirs"));
    shared.document
}

fn count(shared: &Shared, secret: &str) -> usize {
    shared.secrets().iter().filter(|known| *known == secret).count()
}

/// The document with one text in place of another.
fn respelled(document: Option<&Blob>, from: &str, to: &str) -> Option<Blob> {
    let text = std::str::from_utf8(document?.expose()).expect("text");
    assert!(text.contains(from), "{text}");
    Some(Blob::new(text.replace(from, to).into_bytes()))
}

#[test]
fn what_was_put_back_waits_a_minute_anew() {
    let mut shared = signed_in(false);
    let stale = before_ours();
    shared.document = stale.clone();
    shared.look(later(59));
    assert_eq!(shared.secrets(), ["at-ours", "at-theirs", "rt-ours", "rt-theirs"]);
    shared.look(later(61));
    // Decided before 59, written at 62.
    shared.document = stale;
    shared.look(later(62));
    assert_eq!(shared.secrets(), ["at-ours", "at-theirs", "rt-ours", "rt-theirs"]);
}

#[test]
fn what_was_put_back_late_goes_with_a_sign_out_too() {
    let mut shared = signed_in(false);
    shared.they_drop(|cache| remove_token(cache, "rt-ours"));
    assert_eq!(shared.look(later(59)).put_back, 1);
    shared.look(later(61));
    shared.they_write(|cache| {
        remove_token(cache, "at-ours");
        remove_token(cache, "at-theirs");
        remove_token(cache, "rt-theirs");
        remove_account_entry(cache, "tenant");
    });
    shared.look(later(62));
    assert_eq!(shared.secrets(), [""; 0]);
}

#[test]
fn what_was_put_back_goes_with_the_account_under_another_key_text_too() {
    let mut shared = signed_in(false);
    shared.they_drop(|cache| remove_token(cache, "rt-ours"));
    assert_eq!(shared.look(later(1)).put_back, 1);
    shared.document =
        respelled(shared.document.as_ref(), "-refreshtoken-our-client--\"", "-refreshtoken-our-client---\"");
    shared.look(later(2));
    shared.they_write(|cache| {
        remove_token(cache, "at-ours");
        remove_token(cache, "at-theirs");
        remove_token(cache, "rt-theirs");
        remove_account_entry(cache, "tenant");
    });
    shared.look(later(3));
    assert_eq!(shared.secrets(), [""; 0]);
}

#[test]
fn an_account_that_is_gone_is_a_sign_out_though_a_guests_stays() {
    // Long there: two accounts, our RT.
    let mut shared = Shared::new(false);
    shared.they_write(|cache| {
        sign_in(cache, THEIRS, "theirs");
        sign_in(cache, OURS, "ours");
        cache.insert(guest_account("guest")).expect("complete");
    });
    shared.we_write(NOW, |cache| cache.insert(access_token(OURS, "more", "at-more", NOW)).expect("complete"));
    // MSAL.NET removes the entries of its own client, and the account of the same user name.
    shared.they_write(|cache| {
        remove_token(cache, "at-theirs");
        remove_token(cache, "rt-theirs");
        remove_account_entry(cache, "tenant");
    });
    shared.look(later(1));
    // What it left of long ago stays, what we wrote beside the sign-out does not.
    assert_eq!(shared.secrets(), ["at-ours", "rt-ours"]);
    assert!(shared.look(later(2)).document.is_none());
}

#[test]
fn accounts_that_go_one_after_the_other_are_a_sign_out() {
    let mut shared = Shared::new(false);
    shared.they_write(|cache| sign_in(cache, THEIRS, "theirs"));
    shared.we_write(NOW, |cache| {
        sign_in(cache, OURS, "ours");
        cache.insert(guest_account("guest")).expect("complete");
    });
    let steps: [fn(&mut TokenCache); 5] = [
        |cache| remove_token(cache, "rt-theirs"),
        |cache| remove_token(cache, "at-ours"),
        |cache| remove_token(cache, "at-theirs"),
        |cache| remove_account_entry(cache, "guest"),
        |cache| remove_account_entry(cache, "tenant"),
    ];
    for (at, step) in (1..).zip(steps) {
        shared.they_write(step);
        shared.look(later(at));
    }
    assert!(!shared.has_account());
    assert!(!shared.secrets().contains(&"at-ours".to_owned()));
}

#[test]
fn an_account_under_another_name_of_its_cloud_is_taken_along() {
    let mut shared = Shared::new(false);
    shared.they_write(|cache| {
        sign_in(cache, OURS, "ours");
    });
    // The account stands under another name of the same cloud.
    let text = String::from_utf8(shared.cache().serialize().expose().to_vec()).expect("text");
    let at = text.find("\"Account\"").expect("there");
    let end = text.find("\"AppMetadata\"").expect("there");
    let section = text[at..end].replace("login.windows.net", "login.microsoftonline.com");
    shared.document = Some(Blob::new([&text[..at], &section, &text[end..]].concat().into_bytes()));
    shared.we_write(NOW, |cache| {
        cache.insert(access_token(OURS, "read", "at-next", later(1))).expect("complete");
    });
    shared.document = Some(Blob::copy_of(b"{}"));
    shared.look(later(2));
    assert!(shared.has_account());
    assert_eq!(shared.secrets(), ["at-next", "rt-ours"]);
}

#[test]
fn tokens_without_an_account_are_no_sign_out_again_and_again() {
    let mut shared = Shared::new(true);
    shared.they_write(|cache| {
        sign_in(cache, THEIRS, "theirs");
        remove_account_entry(cache, "tenant");
    });
    shared.we_write(NOW, |cache| {
        let app = AccessToken { home_account_id: None, ..access_token(OURS, "api/.default", "at-app", NOW) };
        cache.insert(app).expect("complete");
    });
    shared.look(later(61));
    for at in 62..65 {
        shared.journal = ReapplyJournal::from_bytes(&shared.journal.to_bytes().expect("copy"), true);
        let done = shared.journal.reconcile(Seen::Document(shared.document.as_ref().expect("there")), later(at));
        assert_eq!((done.signed_out, shared.journal.is_changed()), (0, false));
    }
}

#[test]
fn our_sign_out_takes_what_its_tokens_had_replaced() {
    let mut shared = signed_in(false);
    let stale = shared.document.clone();
    shared.we_write(later(1), |cache| {
        cache.insert(refresh_token(OURS, "rt-second")).expect("complete");
    });
    shared.we_write(later(2), |cache| assert!(cache.remove_account(ALICE, HOST)));
    shared.document = stale;
    shared.look(later(3));
    assert_eq!(shared.secrets(), [""; 0]);
    assert!(!shared.has_account());
}

#[test]
fn a_document_that_we_begin_anew_gets_our_entries_back() {
    let mut shared = signed_in(false);
    shared.document = None;
    shared.we_write(later(1), |cache| {
        let app = AccessToken { home_account_id: None, ..access_token(OURS, "api/.default", "at-app", NOW) };
        cache.insert(app).expect("complete");
    });
    shared.look(later(2));
    assert_eq!(shared.secrets(), ["at-ours", "rt-ours"]);
}

#[test]
fn a_clock_that_was_set_back_keeps_nothing_for_ever() {
    let shared = signed_in(false);
    let mut kept = shared.journal.to_bytes().expect("holds");
    for at in [-1_000_000, -999_700, -999_400, -999_100] {
        let mut journal = ReapplyJournal::from_bytes(&kept, false);
        journal.reconcile(Seen::Document(shared.document.as_ref().expect("there")), later(at));
        // As a store does.
        if journal.is_changed() {
            match journal.to_bytes() {
                Some(bytes) => kept = bytes,
                None => return,
            }
        }
    }
    panic!("kept for ever");
}

#[test]
fn an_entry_of_another_meaning_under_our_key_stays() {
    let mut shared = Shared::new(false);
    shared.they_write(|cache| sign_in(cache, THEIRS, "theirs"));
    let stale = shared.document.clone();
    let bound = AccessToken { key_id: Some("kid".into()), ..access_token(OURS, "read", "at-bound", NOW) };
    shared.we_write(NOW, |cache| cache.insert(bound).expect("complete"));
    let key = shared.cache().access_tokens().find(|(_, t)| t.secret.expose() == "at-bound").expect("there").0;
    // Another library, which knows no key ids, keeps a plain token under the same key.
    shared.document = stale;
    shared.they_write(|cache| {
        let plain = access_token(OURS, "read", "at-plain", later(1));
        let mut other = TokenCache::default();
        other.insert(plain).expect("complete");
        let entry = other.entries().next().expect("one");
        cache.insert_entry(Entry { id: key.clone(), ..entry });
    });
    shared.look(later(2));
    assert_eq!(shared.secrets(), ["at-bound", "at-plain", "at-theirs", "rt-theirs"]);
    assert!(shared.look(later(3)).document.is_none());
    shared.they_drop(|cache| remove_token(cache, "at-bound"));
    shared.look(later(4));
    assert_eq!(shared.secrets(), ["at-bound", "at-plain", "at-theirs", "rt-theirs"]);
}

#[test]
fn two_that_had_one_key_are_both_waited_for() {
    // Waits under K; stands under K'; then one of another meaning is written under K.
    let mut shared = Shared::new(true);
    shared.they_write(|cache| sign_in(cache, THEIRS, "theirs"));
    shared.we_write(NOW, |cache| cache.insert(access_token(OURS, "read", "at-plain", NOW)).expect("complete"));
    let key = shared.cache().access_tokens().find(|(_, t)| t.secret.expose() == "at-plain").expect("there").0;
    let quoted = format!("\"{}\"", key.key());
    shared.document = respelled(shared.document.as_ref(), &quoted, "\"another-key\"");
    shared.we_write(later(1), |cache| {
        let bound = AccessToken { key_id: Some("kid".into()), ..access_token(OURS, "read", "at-bound", NOW) };
        cache.insert(bound).expect("complete");
    });
    assert_eq!(shared.secrets(), ["at-bound", "at-plain", "at-theirs", "rt-theirs"]);
    shared.they_drop(|cache| {
        remove_token(cache, "at-plain");
        remove_token(cache, "at-bound");
    });
    shared.look(later(2));
    assert_eq!(shared.secrets(), ["at-bound", "at-plain", "at-theirs", "rt-theirs"]);
    let done = shared.journal.reconcile(Seen::Wiped, later(3));
    shared.document = done.document;
    assert_eq!(shared.secrets(), ["at-bound", "at-plain", "at-theirs", "rt-theirs"]);
}

#[test]
fn what_stands_under_another_key_text_is_put_back_once() {
    let mut shared = signed_in(true);
    shared.document =
        respelled(shared.document.as_ref(), "-refreshtoken-our-client--\"", "-refreshtoken-our-client---\"");
    shared.we_write(later(1), |cache| {
        cache.insert(access_token(OURS, "other", "at-other", NOW)).expect("complete");
    });
    let done = shared.journal.reconcile(Seen::Wiped, later(2));
    shared.document = done.document;
    assert_eq!(count(&shared, "rt-ours"), 1, "{:?}", shared.secrets());
}

#[test]
fn two_of_ours_that_intersect_do_not_drive_each_other_out() {
    let mut shared = Shared::new(false);
    shared.they_write(|cache| {
        sign_in(cache, THEIRS, "theirs");
        cache.insert(access_token(OURS, "read write", "at-old", later(-100))).expect("complete");
    });
    let stale = shared.document.clone();
    let raw = |target: &str, secret: &str| {
        let mut one = TokenCache::default();
        one.insert(access_token(OURS, target, secret, NOW)).expect("complete");
        one.entries().next().expect("one")
    };
    shared.we_write(NOW, |cache| cache.insert_entry(raw("read write", "at-both")));
    shared.we_write(NOW, |cache| cache.insert_entry(raw("read", "at-read")));
    shared.document = stale;
    shared.look(later(1));
    shared.look(later(2));
    assert_eq!(shared.secrets(), ["at-both", "at-read", "at-theirs", "rt-theirs"]);
}

#[test]
fn a_token_without_scopes_is_put_once() {
    let mut shared = Shared::new(false);
    shared.they_write(|cache| sign_in(cache, THEIRS, "theirs"));
    shared.we_write(NOW, |cache| {
        let mut one = TokenCache::default();
        one.insert(access_token(OURS, "read", "at-x", NOW)).expect("complete");
        let entry = one.entries().next().expect("one");
        let json = String::from_utf8(entry.json.expose().to_vec()).expect("text").replace("\"read\"", "\"\"");
        cache.insert_entry(Entry { json: Blob::new(json.into_bytes()), ..entry });
    });
    for at in 1..4 {
        let done = shared.look(later(at));
        assert!(done.document.is_none(), "{done:?}");
    }
}

#[test]
fn a_write_of_many_does_not_blow_up_the_journal() {
    let mut shared = signed_in(false);
    shared.we_write(NOW, |cache| {
        for n in 0..300 {
            cache.insert(access_token(OURS, &format!("s{n}"), &format!("a{n}"), NOW)).expect("complete");
        }
    });
    shared.look(later(61));
    shared.we_write(later(62), |cache| {
        for n in 0..300 {
            cache.insert(access_token(OURS, &format!("s{n}"), &format!("b{n}"), NOW)).expect("complete");
        }
    });
    let (journal, document) = (shared.journal.to_bytes().expect("holds").len(), shared.document.expect("there").len());
    assert!(journal < 3 * document, "{journal} beside {document}");
}

#[test]
fn an_account_that_others_have_signed_in_again_is_theirs() {
    let mut shared = signed_in(false);
    shared.we_write(later(1), |cache| assert!(cache.remove_account(ALICE, HOST)));
    shared.they_write(|cache| sign_in(cache, THEIRS, "again"));
    shared.look(later(2));
    shared.they_write(|cache| {
        remove_token(cache, "at-again");
        remove_token(cache, "rt-again");
    });
    shared.look(later(3));
    assert!(shared.has_account(), "theirs by right");
}

#[test]
fn what_a_journal_names_twice_is_waited_for_once() {
    let shared = signed_in(false);
    let text = String::from_utf8(shared.journal.to_bytes().expect("holds something").expose().to_vec()).expect("text");
    let puts = text.find("\"puts\":[").expect("there") + "\"puts\":[".len();
    let first = &text[puts..=puts + text[puts..].find('}').expect("one")];
    let hostile = text.replacen(first, &vec![first; 1000].join(","), 1);
    let mut journal = ReapplyJournal::from_bytes(&Blob::new(hostile.into_bytes()), false);
    journal.reconcile(Seen::Document(shared.document.as_ref().expect("there")), later(1));
    assert_eq!(journal.to_bytes().map(|bytes| bytes.len()), Some(text.len()));
}

#[test]
fn a_tear_after_our_sign_out_of_another_user_takes_nothing() {
    let mut shared = Shared::new(false);
    shared.we_write(NOW, |cache| sign_in(cache, OURS, "ours"));
    shared.they_write(|cache| cache.insert(user_of("bob.tenant")).expect("complete"));
    shared.we_write(later(1), |cache| assert!(cache.remove_account("bob.tenant", HOST)));
    let whole = shared.document.clone().expect("there");
    for at in 1..whole.len() {
        let mut journal = shared.journal.clone();
        let left = UnifiedDocument::salvage(&whole.slice(0..at)).expect("an object").render();
        let done = journal.reconcile(Seen::Salvage(&left), later(2));
        let document = done.document.unwrap_or(left);
        let cache = TokenCache::deserialize(document.expose()).expect("sound");
        assert_eq!(cache.credentials_of(ALICE, HOST).len(), 2, "at {at}");
    }
}

fn user_of(home_account_id: &str) -> Account {
    Account {
        home_account_id: home_account_id.into(),
        environment: HOST.into(),
        realm: "tenant".into(),
        authority_type: "MSSTS".into(),
        ..Account::default()
    }
}

#[test]
fn app_metadata_comes_back_from_every_tear() {
    let mut shared = Shared::new(false);
    shared.they_write(|cache| sign_in(cache, THEIRS, "theirs"));
    shared.we_write(NOW, |cache| sign_in(cache, OURS, "ours"));
    for second in 1..30 {
        let whole = shared.document.clone().expect("there");
        // Again and again a little more of it.
        let left = UnifiedDocument::salvage(&whole.slice(0..whole.len() - 10 * second)).expect("an object").render();
        let done = shared.journal.reconcile(Seen::Salvage(&left), later(1));
        let document = done.document.unwrap_or(left);
        shared.journal.note(Some(&document), Some(&document), later(1));
        shared.document = Some(shared.journal.mark(&document));
        assert!(shared.cache().app_metadata(HOST, OURS).is_some(), "{second}");
        assert!(shared.secrets().contains(&"rt-ours".to_owned()), "{second}");
    }
}
