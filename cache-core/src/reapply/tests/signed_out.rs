//! Sign-outs, by others and by us.

use super::*;

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
fn the_copy_forgets_who_was_signed_out_at_once() {
    let mut shared = signed_in(true);
    shared.look(later(61));
    shared.they_write(|cache| assert!(cache.remove_account(ALICE, HOST)));
    shared.look(later(62));
    let done = shared.journal.reconcile(Seen::Wiped, later(63));
    shared.document = done.document;
    assert_eq!(shared.secrets(), [""; 0]);
}

#[test]
fn what_was_signed_out_does_not_take_the_place_of_a_new_sign_in() {
    let mut shared = signed_in(false);
    let stale = shared.document.clone();
    shared.we_write(later(1), |cache| assert!(cache.remove_account(ALICE, HOST)));
    shared.we_write(later(2), |cache| sign_in(cache, OURS, "again"));
    shared.document = stale;
    shared.look(later(3));
    assert_eq!(shared.secrets(), ["at-again", "rt-again"]);
}

/// A document of before a sign-out by others, in the place of one with our sign-in after it. Refresh tokens carry no time.
#[test]
fn what_others_signed_out_does_not_take_the_place_of_a_new_sign_in() {
    for keeps_copy in [false, true] {
        let mut shared = signed_in(keeps_copy);
        let first = shared.document.clone();
        shared.we_write(later(1), |cache| cache.insert(refresh_token(OURS, "rt-second")).expect("complete"));
        let second = shared.document.clone();
        shared.they_write(|cache| assert!(cache.remove_account(ALICE, HOST)));
        assert_eq!(shared.look(later(2)).signed_out, 1);
        shared.we_write(later(3), |cache| sign_in(cache, OURS, "again"));
        for stale in [second, first] {
            shared.document = stale;
            shared.look(later(4));
            assert_eq!(shared.secrets(), ["at-again", "at-theirs", "rt-again", "rt-theirs"], "copy: {keeps_copy}");
        }
        // Newer than ours is what was not there before.
        shared.they_write(|cache| cache.insert(refresh_token(OURS, "rt-newer")).expect("complete"));
        assert_eq!(shared.look(later(5)).put_back, 0);
        assert!(shared.secrets().contains(&"rt-newer".to_owned()));
    }
}

#[test]
fn what_others_signed_out_and_bring_back_is_theirs() {
    let mut shared = signed_in(true);
    let stale = shared.document.clone();
    shared.they_write(|cache| assert!(cache.remove_account(ALICE, HOST)));
    shared.look(later(1));
    shared.document = stale;
    assert_eq!(shared.look(later(2)).removed_again, 0);
    assert_eq!(shared.secrets(), ["at-ours", "at-theirs", "rt-ours", "rt-theirs"]);
    // And is as good as any other when it is written anew.
    shared.we_write(later(3), |cache| {
        cache.insert(access_token(OURS, "more", "at-more", later(3))).expect("complete");
    });
    assert!(shared.journal.facts.removals.iter().all(|removal| removal.secrets.is_empty()));
}

#[test]
fn our_sign_out_takes_what_earlier_sign_outs_took() {
    for is_ours in [false, true] {
        let mut shared = signed_in(false);
        let stale = shared.document.clone();
        if is_ours {
            shared.we_write(later(1), |cache| assert!(cache.remove_account(ALICE, HOST)));
        } else {
            shared.they_write(|cache| assert!(cache.remove_account(ALICE, HOST)));
        }
        shared.we_write(later(2), |cache| sign_in(cache, OURS, "again"));
        shared.we_write(later(3), |cache| assert!(cache.remove_account(ALICE, HOST)));
        shared.document = stale;
        shared.look(later(4));
        assert!(!shared.secrets().iter().any(|secret| secret.ends_with("ours")), "ours: {is_ours}");
        assert_eq!(shared.has_account(), !shared.secrets().is_empty(), "ours: {is_ours}");
    }
}

/// Another library may write an account in a way that we cannot read: as long as it stands, nobody was signed out.
#[test]
fn an_account_that_cannot_be_read_is_no_sign_out() {
    let mut shared = signed_in(true);
    let odd = Blob::copy_of(br#"{"home_account_id":"bob.tenant","environment":"login.windows.net","realm":{}}"#);
    shared.they_write(|cache| {
        let id = EntryId::new(section::ACCOUNT, "odd");
        cache.insert_entry(Entry { id, account: None, written_at: None, expires_on: None, json: odd });
    });
    shared.look(later(600));
    for at in 601..603 {
        let done = shared.journal.reconcile(Seen::Document(shared.document.as_ref().expect("there")), later(at));
        assert_eq!((done.signed_out, shared.journal.is_changed()), (0, false));
    }
    shared.we_write(later(603), |cache| {
        cache.insert(access_token(OURS, "more", "at-more", later(603))).expect("complete");
    });
    assert!(shared.journal.facts.removals.is_empty(), "nobody was signed out");
}

#[test]
fn an_account_that_is_gone_is_a_sign_out_though_all_that_is_waited_for_stands() {
    let mut shared = signed_in(false);
    shared.look(later(61));
    shared.we_write(later(62), |cache| {
        let app = AccessToken { home_account_id: None, ..access_token(OURS, "api/.default", "at-app", NOW) };
        cache.insert(app).expect("complete");
        cache.insert(access_token(OURS, "more", "at-more", later(62))).expect("complete");
    });
    // The account, which had been there before, is let go of a minute later; the token was put back meanwhile.
    shared.they_drop(|cache| remove_token(cache, "at-more"));
    shared.look(later(100));
    shared.look(later(130));
    let waits: Vec<String> = shared.journal.facts.puts.iter().map(|put| put.section.clone()).collect();
    assert_eq!(waits, [section::ACCESS_TOKEN], "what is waited for");
    shared.they_write(|cache| {
        remove_token(cache, "rt-ours");
        remove_account_entry(cache, "tenant");
    });
    assert_eq!(shared.look(later(131)).signed_out, 1);
    assert!(!shared.secrets().contains(&"at-more".to_owned()));
}
