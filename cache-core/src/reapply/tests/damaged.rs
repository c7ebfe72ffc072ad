//! Documents that are torn, emptied or begun anew, and journals that are damaged.

use super::*;

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
        shared.document = shared.journal.note(Some(&document), Some(&document), later(1));
        assert!(shared.cache().app_metadata(HOST, OURS).is_some(), "{second}");
        assert!(shared.secrets().contains(&"rt-ours".to_owned()), "{second}");
    }
}

#[test]
fn the_copy_follows_what_others_write() {
    let mut shared = signed_in(true);
    shared.they_write(|cache| cache.insert(refresh_token(THEIRS, "rt-renewed")).expect("complete"));
    shared.look(later(600));
    let done = shared.journal.reconcile(Seen::Wiped, later(601));
    shared.document = done.document;
    assert_eq!(shared.secrets(), ["at-ours", "at-theirs", "rt-ours", "rt-renewed"]);
}
