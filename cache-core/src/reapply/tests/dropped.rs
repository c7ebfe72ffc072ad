//! What others drop, rename or replace.

use super::*;

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
fn what_several_writes_wrote_is_waited_for_together() {
    let mut shared = signed_in(false);
    let stale = shared.document.clone();
    for scope in ["one", "two", "three"] {
        let token = access_token(OURS, scope, &format!("at-{scope}"), later(1));
        shared.we_write(later(1), |cache| cache.insert(token).expect("complete"));
    }
    shared.document = stale;
    assert_eq!(shared.look(later(2)).put_back, 3);
}

#[test]
fn the_document_is_shown_without_the_mark() {
    let mut shared = signed_in(false);
    let marked = shared.document.clone().expect("there");
    let unmarked = ReapplyJournal::unmark(&marked);
    assert_ne!(marked, unmarked);
    assert!(shared.journal.reconcile(Seen::Document(&marked), later(1)).document.is_none());
    for _ in 0..2 {
        assert_eq!(shared.journal.shown(&marked), unmarked);
    }
    // Another one than was looked at, too.
    let copy = Blob::copy_of(marked.expose());
    assert_eq!(shared.journal.shown(&copy), unmarked);
    // And one that is to be written, with what was put back.
    shared.document = before_ours();
    let found = shared.document.clone().expect("there");
    let written = shared.journal.reconcile(Seen::Document(&found), later(2)).document.expect("put back");
    assert_eq!(shared.journal.shown(&written), written);
    assert_eq!(shared.journal.shown(&found), found);
}

#[test]
fn what_a_write_changes_is_told_from_what_it_began_with() {
    // A store may give what was looked at another form before it is changed.
    let mut shared = signed_in(false);
    let seen = shared.document.clone().expect("there");
    shared.journal.reconcile(Seen::Document(&seen), later(61));
    let shown = shared.journal.shown(&seen);
    let with = |document: &Blob, target: &str| {
        let mut cache = TokenCache::deserialize(document.expose()).expect("sound");
        cache.insert(access_token(OURS, target, target, later(61))).expect("complete");
        cache.serialize()
    };
    let before = with(&shown, "formed");
    let after = with(&before, "written");
    shared.journal.note(Some(&before), Some(&after), later(61));
    let tokens = shared.journal.facts.puts.iter().filter(|put| put.section == section::ACCESS_TOKEN);
    let keys: Vec<&str> = tokens.map(|put| &*put.key).collect();
    assert!(matches!(keys[..], [key] if key.contains("written")), "{keys:?}");
}

#[test]
fn what_is_put_back_and_replaced_in_one_write_does_not_come_back() {
    let mut shared = signed_in(false);
    let found = before_ours().expect("there");
    let before = shared.journal.reconcile(Seen::Document(&found), later(1)).document.expect("put back");
    let mut cache = TokenCache::deserialize(before.expose()).expect("sound");
    cache.insert(refresh_token(OURS, "rt-second")).expect("complete");
    shared.journal.note(Some(&before), Some(&cache.serialize()), later(1));
    shared.document = Some(before);
    shared.look(later(2));
    assert_eq!(shared.secrets(), ["at-ours", "at-theirs", "rt-second", "rt-theirs"]);
}

#[test]
fn a_mark_that_is_given_back_is_not_kept() {
    let mut shared = signed_in(true);
    let marked = shared.document.clone().expect("there");
    let written = shared.journal.note(Some(&marked), Some(&marked), later(1)).expect("a document");
    assert_eq!(ReapplyJournal::unmark(&written), ReapplyJournal::unmark(&marked));
    let restored = shared.journal.reconcile(Seen::Wiped, later(2)).document.expect("from the copy");
    assert_eq!(ReapplyJournal::unmark(&restored), restored);
}
