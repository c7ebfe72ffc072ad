//! Finding single access tokens: all that have a term and no others, of the same moment as the stamp.

use std::collections::BTreeSet;

use cache_core::schema::ExtendedKey;
use cache_core::{AccessTokenQuery, Change, Entry, EntryId, Extent, LookupTerm, Snapshot, UnixSeconds};

use super::Setup;
use super::reading::one_of_each;
use super::setup::{ALICE, BOB, CHINA, PUBLIC, expect_same};
use crate::entries::{CLIENT, EntryBuilder, access_token};
use crate::fixtures::NOW;

const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const ASSERTION: &str = "mGvHPdv5DCCDcbWpkZJ0MTZXwpMhhSVd";

/// A user's tokens, an application's own and those got on behalf of an assertion are found apart from each other.
pub async fn every_owner_s_tokens_are_found(setup: &Setup<'_>) {
    let [alice, bob, app] =
        [alice("alice"), access_token("bob").of(BOB, PUBLIC[0]), app("app")].map(EntryBuilder::entry);
    let behalf = access_token("behalf").of(ALICE, PUBLIC[0]).field("user_assertion_hash", ASSERTION).entry();
    given(setup, &[&alice, &bob, &app, &behalf]).await;
    let scope = "User.Read";
    let of_app = AccessTokenQuery::app(CLIENT, scope).with_realm(TENANT);
    expect_found(setup, of(ALICE, scope), &[&alice]).await;
    expect_found(setup, of(BOB, scope), &[&bob]).await;
    expect_found(setup, of_app, &[&app]).await;
    // Base64 with padding or without, and whatever the tenant.
    for hash in [ASSERTION.to_owned(), format!("{ASSERTION}=")] {
        expect_found(setup, AccessTokenQuery::on_behalf_of(&hash, CLIENT, scope), &[&behalf]).await;
    }
    for nobody in [of(ASSERTION, scope), of("", scope), AccessTokenQuery::on_behalf_of(ALICE, CLIENT, scope)] {
        expect_found(setup, nobody, &[]).await;
    }
}

/// A token is found by each of its scopes, in whatever place of its target that stands.
pub async fn every_scope_finds_its_tokens(setup: &Setup<'_>) {
    let one = alice("one").field("target", "User.Read  openid Mail.Read User.Read").entry();
    let two = alice("two").field("target", "Mail.Read api://resource/.default").entry();
    let none = alice("none").field("target", "").entry();
    given(setup, &[&one, &two, &none]).await;
    for (scope, expected) in [
        ("User.Read", &[&one][..]),
        ("openid", &[&one]),
        ("Mail.Read", &[&one, &two]),
        ("api://resource/.default", &[&two]),
        ("Mail", &[]),
        ("User.Read.All", &[]),
    ] {
        expect_found(setup, of(ALICE, scope), expected).await;
    }
}

/// Scopes, client, tenant and the hash of further components are found in another case, also where that is more than
/// ASCII; home account ids, assertion hashes and key ids are not.
pub async fn case_does_not_matter_where_lookups_ignore_it(setup: &Setup<'_>) {
    let ascii = alice("ascii").field("client_id", "Client").field("realm", "Tenant").entry();
    let wide = alice("wide").field("target", "\u{212a}iosk É").entry();
    let behalf = access_token("behalf").of(ALICE, PUBLIC[0]).field("user_assertion_hash", "Hash").entry();
    let bound = alice("bound").field("key_id", "Kid").entry();
    given(setup, &[&ascii, &wide, &behalf, &bound]).await;
    let user = |home, client, scope| AccessTokenQuery::user(home, client, scope);
    let pop = |kid| of(ALICE, "User.Read").with_token_type("pop", Some(kid));
    expect_found(setup, user(ALICE, "CLIENT", "user.READ").with_realm("tENANT"), &[&ascii]).await;
    expect_found(setup, of(ALICE, "KIOSK"), &[&wide]).await;
    expect_found(setup, of(ALICE, "é"), &[&wide]).await;
    expect_found(setup, of(&ALICE.to_uppercase(), "kiosk"), &[]).await;
    for (hash, expected) in [("Hash", &[&behalf][..]), ("hash", &[])] {
        expect_found(setup, AccessTokenQuery::on_behalf_of(hash, CLIENT, "user.read"), expected).await;
    }
    for (kid, expected) in [("Kid", &[&bound][..]), ("kid", &[])] {
        expect_found(setup, pop(kid), expected).await;
    }
}

/// Terms are compared whole: neither parts that run together nor characters that are nearly one are taken for each other.
pub async fn texts_that_are_nearly_one_are_told_apart(setup: &Setup<'_>) {
    let texts = ["scope", "scope\u{0}", "scop\u{e9}", "scope[", "scope{", "scope%", "scop_", "\u{1f600}", "s'; --"];
    let entries: Vec<Entry> = texts.iter().map(|text| alice(text).field("target", text).entry()).collect();
    let parts = alice("parts").field("realm", "ab").field("client_id", "c").entry();
    let others = alice("others").field("realm", "a").field("client_id", "bc").entry();
    given(setup, &entries.iter().chain([&parts, &others]).collect::<Vec<_>>()).await;
    for (text, entry) in texts.iter().zip(&entries) {
        expect_found(setup, of(ALICE, text), &[entry]).await;
    }
    let apart = |client, realm| AccessTokenQuery::user(ALICE, client, "User.Read").with_realm(realm);
    for (query, expected) in [
        (apart("c", "ab"), &[&parts][..]),
        (apart("bc", "a"), &[&others]),
        (apart("", "abc"), &[]),
        (apart("abc", ""), &[]),
    ] {
        expect_found(setup, query, expected).await;
    }
}

/// Tokens that are bound to a key, or were asked for with further components, are found by exactly these.
pub async fn keys_and_components_are_told_apart(setup: &Setup<'_>) {
    let [one, two] = [[("fmi_path", "a")], [("fmi_path", "A")]].map(ExtendedKey::new);
    let plain = alice("plain").entry();
    let bound = alice("bound").field("token_type", "pop").field("key_id", "kid").entry();
    // Expired ones may be dropped where MSAL Node takes part.
    let later = UnixSeconds(NOW.0 + 3600);
    let with_hash = alice("with hash").field("ext_cache_key", &one.hash().to_uppercase()).expires(later).entry();
    let unknown = alice("unknown").field("credential_type", "ATExt").expires(later).entry();
    given(setup, &[&plain, &bound, &with_hash, &unknown]).await;
    let query = of(ALICE, "User.Read");
    for (query, expected) in [
        (query, &[&plain][..]),
        (query.with_token_type("pop", None), &[&plain]),
        (query.with_token_type("pop", Some("kid")), &[&bound]),
        (query.with_token_type("pop", Some("other")), &[]),
        (query.with_extended(&one), &[&with_hash]),
        (query.with_extended(&two), &[]),
    ] {
        expect_found(setup, query, expected).await;
    }
}

/// Of several terms each finds its tokens; a token that has two of them comes once. Terms that are asked twice, or that
/// nothing has, change nothing; no term finds nothing.
pub async fn of_several_terms_each_finds_its_tokens(setup: &Setup<'_>) {
    let both = alice("both").field("target", "one two").entry();
    let two = alice("two").field("target", "two").entry();
    let three = app("three").field("target", "three").entry();
    let four = alice("four").field("target", "four").entry();
    given(setup, &[&both, &two, &three, &four]).await;
    let [one, two_, absent] = ["one", "two", "absent"].map(|scope| term(of(ALICE, scope)));
    let of_app = term(AccessTokenQuery::app(CLIENT, "three").with_realm(TENANT));
    let terms = [one.clone(), two_, absent, of_app, one];
    expect_entries(setup, &found(setup, &terms).await, &[&both, &two, &three]).await;
    expect_entries(setup, &found(setup, &[]).await, &[]).await;
    let many: Vec<LookupTerm> = (0..1500).map(|n| term(of(ALICE, &format!("scope-{n}")))).chain(terms).collect();
    expect_entries(setup, &found(setup, &many).await, &[&both, &two, &three]).await;
}

/// Tokens of one meaning under several keys and hosts are all found: which one is best is for the lookup to say.
pub async fn twins_are_all_found(setup: &Setup<'_>) {
    let twins = [("key", PUBLIC[0]), ("KEY", PUBLIC[0]), ("of an alias", PUBLIC[1]), ("of another cloud", CHINA)];
    let twins = twins.map(|(key, host)| access_token(key).of(ALICE, host).entry());
    given(setup, &twins.each_ref()).await;
    expect_found(setup, of(ALICE, "user.read"), &twins.each_ref()).await;
}

/// No entry of another section is found, nor an access token that no library classifies, whatever its fields say.
pub async fn nothing_but_access_tokens_is_found(setup: &Setup<'_>) {
    let strange = alice("strange").field("credential_type", "Strange").entry();
    let elsewhere = |section: &str| {
        let token = alice("elsewhere").entry();
        // The facts of another section may differ; nothing here has any.
        Entry { id: EntryId::new(section, "elsewhere"), account: token.account, ..token }
    };
    let mut entries = one_of_each();
    entries.extend([strange, elsewhere("IdToken")]);
    let expected: Vec<Entry> = entries.iter().filter(|entry| !entry.lookup_terms().is_empty()).cloned().collect();
    let terms: Vec<LookupTerm> = entries.iter().flat_map(Entry::lookup_terms).collect();
    given(setup, &entries.iter().collect::<Vec<_>>()).await;
    expect_entries(setup, &found(setup, &terms).await, &expected.iter().collect::<Vec<_>>()).await;
}

/// What replaces a token is found by its own scopes, and no longer by those that are gone.
pub async fn a_replaced_token_is_found_by_its_new_scopes_only(setup: &Setup<'_>) {
    let old = alice("key").field("target", "old both").entry();
    let new = alice("key").field("target", "both new").entry();
    given(setup, &[&old]).await;
    expect_found(setup, of(ALICE, "old"), &[&old]).await;
    given(setup, &[&new]).await;
    for (scope, expected) in [("old", &[][..]), ("both", &[&new]), ("new", &[&new])] {
        expect_found(setup, of(ALICE, scope), expected).await;
    }
    // Also when it is replaced by what is no token, and comes back.
    given(setup, &[&alice("key").field("credential_type", "Strange").entry()]).await;
    expect_found(setup, of(ALICE, "new"), &[]).await;
    given(setup, &[&old]).await;
    for (scope, expected) in [("old", &[&old][..]), ("both", &[&old]), ("new", &[])] {
        expect_found(setup, of(ALICE, scope), expected).await;
    }
}

/// A removed token is not found, neither after its own removal nor after that of its account or its partition.
pub async fn what_was_removed_is_not_found(setup: &Setup<'_>) {
    let token = alice("key").entry();
    let stays = app("stays").entry();
    let query = of(ALICE, "User.Read");
    let of_account = super::removal::remove_account(ALICE, &PUBLIC);
    for removal in [Change::remove(token.id.clone()), of_account] {
        given(setup, &[&token, &stays]).await;
        expect_found(setup, query, &[&token]).await;
        setup.apply(vec![removal]).await;
        expect_found(setup, query, &[]).await;
    }
    given(setup, &[&token]).await;
    setup.store().remove(setup.partition()).await.expect("remove");
    assert!(find(setup, &[term(query)]).await.is_none());
    given(setup, &[&stays]).await;
    expect_found(setup, query, &[]).await;
}

/// A partition that holds nothing is a miss, not an empty snapshot: for `find` and for `load_within`.
pub async fn nothing_is_found_in_an_empty_partition(setup: &Setup<'_>) {
    assert!(find(setup, &[term(of(ALICE, "User.Read"))]).await.is_none());
    assert!(find(setup, &[]).await.is_none());
    for limit in [0, 1, usize::MAX] {
        assert!(load_within(setup, limit).await.is_none());
    }
}

/// A token is found in its own partition only.
pub async fn another_partition_s_tokens_are_not_found(setup: &Setup<'_>) {
    let (a, b) = (setup.partition_named("a"), setup.partition_named("b"));
    if a == b {
        return; // The place holds one partition only.
    }
    let entries = [alice("of a").entry(), alice("of b").entry()];
    let terms = [term(of(ALICE, "User.Read"))];
    for (partition, entry) in [&a, &b].into_iter().zip(&entries) {
        super::setup::commit_to(setup.store(), partition, vec![Change::put(entry.clone())]).await;
    }
    for (partition, entry) in [&a, &b].into_iter().zip(&entries) {
        let found = setup.store().find(partition, &terms).await.expect("find").expect("it holds something");
        assert_eq!(found.entries.len(), 1);
        expect_same(&found.entries[0].entry, entry);
    }
}

/// What is found has the version that `get` answers, and the snapshot the stamp of the moment, also with nothing in it.
/// Every handle sees so.
pub async fn a_find_has_the_present_stamp_and_versions(setup: &Setup<'_>) {
    let other = setup.another_handle().await;
    for secret in ["one", "two"] {
        let token = alice("key").secret(secret).entry();
        given(setup, &[&token]).await;
        let (stamp, present) = (setup.stamp().await, setup.present(&token.id).await.expect("present"));
        for scope in ["User.Read", "absent"] {
            for store in [setup.store(), &*other] {
                let found = store.find(setup.partition(), &[term(of(ALICE, scope))]).await.expect("find");
                let found = found.expect("it holds something");
                assert_eq!(Some(&found.stamp), stamp.as_ref());
                assert!(found.entries.iter().all(|stored| stored.version == present.version));
                assert_eq!(found.entries.len(), usize::from(scope != "absent"));
            }
        }
    }
}

/// A partition of no more entries than the limit is loaded whole, as `load` does.
pub async fn a_load_within_its_limit_is_whole(setup: &Setup<'_>) {
    let entries = one_of_each();
    given(setup, &entries.iter().collect::<Vec<_>>()).await;
    for limit in [entries.len(), entries.len() + 1, usize::MAX] {
        match load_within(setup, limit).await {
            Some(Extent::Whole(whole)) => {
                expect_entries(setup, &whole, &entries.iter().collect::<Vec<_>>()).await;
                assert_eq!(Some(whole.stamp), setup.stamp().await);
            }
            other => panic!("{limit}: {other:?}"),
        }
    }
}

/// A partition of more entries than the limit is loaded whole all the same, or its stamp is the present one.
pub async fn a_load_beyond_its_limit_has_the_present_stamp(setup: &Setup<'_>) {
    let entries = one_of_each();
    given(setup, &entries.iter().collect::<Vec<_>>()).await;
    for limit in [0, 1, entries.len() - 1] {
        let stamp = match load_within(setup, limit).await.expect("it holds something") {
            Extent::Whole(whole) => {
                expect_entries(setup, &whole, &entries.iter().collect::<Vec<_>>()).await;
                whole.stamp
            }
            Extent::Large(stamp) => stamp,
        };
        assert_eq!(Some(stamp), setup.stamp().await, "{limit}");
    }
}

/// An access token of Alice for `User.Read`.
fn alice(key: &str) -> EntryBuilder {
    access_token(key).of(ALICE, PUBLIC[0])
}

/// An application's own.
fn app(key: &str) -> EntryBuilder {
    access_token(key).of("", PUBLIC[0])
}

/// The question for a token of this user.
fn of<'a>(home_account_id: &'a str, scope: &'a str) -> AccessTokenQuery<'a> {
    AccessTokenQuery::user(home_account_id, CLIENT, scope).with_realm(TENANT)
}

fn term(query: AccessTokenQuery<'_>) -> LookupTerm {
    query.lookup_term().expect("it names a tenant and a scope")
}

async fn given(setup: &Setup<'_>, entries: &[&Entry]) {
    let puts: Vec<Change> = entries.iter().map(|entry| Change::put((*entry).clone())).collect();
    setup.apply(puts).await;
}

async fn find(setup: &Setup<'_>, terms: &[LookupTerm]) -> Option<Snapshot> {
    setup.store().find(setup.partition(), terms).await.expect("find")
}

async fn load_within(setup: &Setup<'_>, limit: usize) -> Option<Extent> {
    setup.store().load_within(setup.partition(), limit).await.expect("load_within")
}

async fn found(setup: &Setup<'_>, terms: &[LookupTerm]) -> Snapshot {
    find(setup, terms).await.expect("the partition holds something")
}

async fn expect_found(setup: &Setup<'_>, query: AccessTokenQuery<'_>, expected: &[&Entry]) {
    expect_entries(setup, &found(setup, &[term(query)]).await, expected).await;
}

/// Fails unless these entries were found, each once and as `get` answers them, and nothing else.
async fn expect_entries(setup: &Setup<'_>, found: &Snapshot, expected: &[&Entry]) {
    let ids: BTreeSet<&EntryId> = found.entries.iter().map(|stored| &stored.entry.id).collect();
    assert_eq!(ids.len(), found.entries.len(), "each once");
    assert_eq!(ids, expected.iter().map(|entry| &entry.id).collect());
    for stored in &found.entries {
        let present = setup.present(&stored.entry.id).await.expect("get finds what find finds");
        expect_same(&stored.entry, &present.entry);
        assert_eq!(stored.version, present.version, "the version of {:?}", stored.entry.id);
    }
}
