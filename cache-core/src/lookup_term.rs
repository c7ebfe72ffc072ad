//! What access tokens are looked up by, as bytes: for stores that find single entries without reading a whole partition.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher as _, Hash, Hasher};

use foldhash::fast::RandomState;

use crate::entry::Entry;
use crate::schema::{AccessToken, Entity as _, ExtendedKey, section};
use crate::secret::{Blob, SecretBuffer};
use crate::text::{TextHasher, lower_case};
use crate::token_cache::{AccessTokenQuery, Owner, owner};

/// What an access token is looked up by: whose it is (a user's, an application's own, of an assertion), its client,
/// tenant, key and further components, and one of its scopes.
///
/// A token has one [for each scope](Entry::lookup_terms). A lookup asks for one of them, and every token that answers it
/// [has that one](AccessTokenQuery::lookup_term): a store with an index of terms [finds](crate::CacheStore::find) the few
/// tokens among which the answer is.
///
/// ```
/// use cache_core::{AccessTokenQuery, Blob, Entry, EntryId};
///
/// let json = r#"{"home_account_id":"uid.utid","environment":"login.windows.net","client_id":"client","realm":"utid",
///     "target":"User.Read Mail.Read","secret":"eyJ0eXAi..."}"#;
/// let entry = Entry {
///     id: EntryId::new("AccessToken", "key"),
///     account: None,
///     written_at: None,
///     expires_on: None,
///     json: Blob::copy_of(json.as_bytes()),
/// };
/// let query = AccessTokenQuery::user("uid.utid", "CLIENT", "mail.read").with_realm("utid");
/// let term = query.lookup_term().expect("it names a tenant");
/// assert!(entry.lookup_terms().contains(&term));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct LookupTerm(Blob);

impl LookupTerm {
    /// The term as bytes: equal for equal terms, in every process and version. Texts that are compared ignoring case are
    /// in lower case.
    ///
    /// They hold ids in the clear, among them session keys, which are secrets. A store hashes them with a key of its
    /// own and keeps only that.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.expose()
    }
}

impl Entry {
    /// The terms that a lookup may find this entry by: one for each scope of an access token, each once. Empty for every
    /// other entry, also for an access token that is not understood, which no lookup finds.
    pub fn lookup_terms(&self) -> Vec<LookupTerm> {
        // As a cache reads it: an entry without a key is no entity.
        if self.id.section() != section::ACCESS_TOKEN || self.id.key().is_empty() {
            return Vec::new();
        }
        let Some(token) = AccessToken::read(self.id.key(), &self.json) else { return Vec::new() };
        let terms: BTreeSet<LookupTerm> = token.scopes().map(|scope| Parts::of(&token, scope).term()).collect();
        terms.into_iter().collect()
    }
}

impl AccessTokenQuery<'_> {
    /// The term that every token which answers this query has: that of the first scope that names a resource. `None`: the
    /// query names no tenant and is for no assertion's token, or it names no scope; only the whole partition answers it.
    pub fn lookup_term(&self) -> Option<LookupTerm> {
        Parts::asked(self).map(Parts::term)
    }
}

impl PartialOrd for LookupTerm {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LookupTerm {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for LookupTerm {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for LookupTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookupTerm(..)")
    }
}

/// Hashes the terms of queries without making them. Seeded at random, so that nobody can make two collide.
#[derive(Clone)]
pub(crate) struct TermHashing([u64; 3]);

impl Default for TermHashing {
    fn default() -> Self {
        let state = RandomState::default();
        // An odd factor loses nothing.
        Self([1_u64, 2, 3].map(|number| state.hash_one(number) | 1))
    }
}

impl TermHashing {
    /// The hash of the query's term; `None`: it has none. Allocates nothing.
    pub(crate) fn hash(&self, query: &AccessTokenQuery<'_>) -> Option<u64> {
        let mut hasher = TextHasher::new(self.0);
        Parts::asked(query)?.feed(&mut hasher);
        Some(hasher.finish())
    }
}

/// What a term is made of: what the [index](crate::TokenCache::access_token) of a cache finds tokens by.
struct Parts<'a> {
    owner: Owner<'a>,
    client_id: &'a str,
    realm: &'a str,
    key_id: Option<&'a str>,
    extended: Option<&'a ExtendedKey>,
    scope: &'a str,
}

impl<'a> Parts<'a> {
    fn of(token: &'a AccessToken, scope: &'a str) -> Self {
        Self {
            owner: owner(token),
            client_id: &token.client_id,
            realm: &token.realm,
            key_id: token.key_id.as_deref(),
            extended: token.extended.as_ref(),
            scope,
        }
    }

    fn asked(query: &AccessTokenQuery<'a>) -> Option<Self> {
        if query.realm.is_none() && !matches!(query.owner, Owner::Assertion(_)) {
            return None;
        }
        Some(Self {
            owner: query.owner,
            client_id: query.client_id,
            realm: query.realm.unwrap_or_default(),
            key_id: query.key_id,
            extended: query.extended,
            scope: query.scopes.most_telling()?,
        })
    }

    fn term(self) -> LookupTerm {
        let mut bytes = SecretBuffer::with_capacity(256);
        self.feed(&mut bytes);
        LookupTerm(bytes.into_blob())
    }

    /// The numbers stand in what stores keep: none is ever used for another thing.
    fn feed(&self, to: &mut impl Feed) {
        match self.owner {
            Owner::User(home_account_id) => {
                to.exact(1, home_account_id);
                to.lower_case(4, self.realm);
            }
            Owner::App => {
                to.exact(2, "");
                to.lower_case(4, self.realm);
            }
            // Tokens of an assertion are few, and are asked for without a tenant too.
            Owner::Assertion(hash) => to.exact(3, hash.trim_end_matches('=')),
        }
        to.lower_case(5, self.client_id);
        if let Some(key_id) = self.key_id {
            to.exact(6, key_id);
        }
        if let Some(extended) = self.extended {
            to.lower_case(7, extended.hash());
        }
        to.lower_case(8, self.scope);
    }
}

/// Takes the parts of a term one after the other, each with the number of what it is.
trait Feed {
    fn exact(&mut self, what: u8, text: &str);

    fn lower_case(&mut self, what: u8, text: &str);
}

impl Feed for TextHasher {
    fn exact(&mut self, what: u8, text: &str) {
        self.number(what.into());
        self.exact(text);
    }

    fn lower_case(&mut self, what: u8, text: &str) {
        self.number(what.into());
        self.lower_case(text);
    }
}

/// The number, the length of the text in bytes, eight of them, the lowest first, and the text: no two lists of parts run
/// together.
impl Feed for SecretBuffer {
    fn exact(&mut self, what: u8, text: &str) {
        self.push(&[what]);
        self.push(&(text.len() as u64).to_le_bytes());
        self.push(text.as_bytes());
    }

    fn lower_case(&mut self, what: u8, text: &str) {
        if text.is_ascii() {
            self.push(&[what]);
            self.push(&(text.len() as u64).to_le_bytes());
            return self.push_lower_case(text);
        }
        let length: usize = lower_case(text).map(char::len_utf8).sum();
        self.push(&[what]);
        self.push(&(length as u64).to_le_bytes());
        let mut utf8 = [0; 4];
        lower_case(text).for_each(|letter| self.push(letter.encode_utf8(&mut utf8).as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::EntryId;

    fn entry(section: &str, key: &str, json: &str) -> Entry {
        let json = Blob::copy_of(json.as_bytes());
        Entry { id: EntryId::new(section, key), account: None, written_at: None, expires_on: None, json }
    }

    fn token(fields: &str) -> Entry {
        let json = format!(r#"{{"environment":"e","client_id":"C","secret":"s","realm":"T","target":"A b",{fields}}}"#);
        entry(section::ACCESS_TOKEN, "key", &json)
    }

    #[test]
    fn stores_keep_hashes_of_these_very_bytes() {
        let parts = |parts: &[(u8, &str)]| -> Vec<u8> {
            let part = |(what, text): &(u8, &str)| {
                [&[*what][..], &(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
            };
            parts.iter().flat_map(part).collect()
        };
        for (fields, first) in [
            (r#""home_account_id":"Uid.utid""#, parts(&[(1, "Uid.utid"), (4, "t"), (5, "c"), (8, "a")])),
            (r#""home_account_id":"""#, parts(&[(2, ""), (4, "t"), (5, "c"), (8, "a")])),
            (r#""user_assertion_hash":"Hash==""#, parts(&[(3, "Hash"), (5, "c"), (8, "a")])),
            (r#""token_type":"pop","key_id":"Kid""#, parts(&[(2, ""), (4, "t"), (5, "c"), (6, "Kid"), (8, "a")])),
            (r#""ext_cache_key":"HASH""#, parts(&[(2, ""), (4, "t"), (5, "c"), (7, "hash"), (8, "a")])),
        ] {
            let terms = token(fields).lookup_terms();
            assert_eq!(terms.len(), 2, "{fields}");
            assert_eq!(terms[0].as_bytes(), first, "{fields}");
        }
    }

    /// ASCII is written by blocks, all else letter by letter.
    #[test]
    fn long_texts_are_in_lower_case_whatever_they_are_made_of() {
        for length in [1, 63, 64, 65, 127, 128, 129, 1000] {
            for (upper, lower) in [("A", "a"), ("\u{c4}", "\u{e4}")] {
                let (upper, lower) = (upper.repeat(length), lower.repeat(length));
                let term = AccessTokenQuery::app("c", &upper).with_realm("t").lookup_term().expect("all that it takes");
                assert!(term.as_bytes().ends_with(lower.as_bytes()), "{length}");
                assert_eq!(AccessTokenQuery::app("c", &lower).with_realm("t").lookup_term(), Some(term), "{length}");
            }
        }
    }

    #[test]
    fn a_query_has_a_term_of_the_tokens_that_answer_it() {
        let extended = ExtendedKey::new([("fmi_path", "p")]);
        let user = AccessTokenQuery::user("u", "c", "openid B").with_realm("t");
        for (fields, query) in [
            (r#""home_account_id":"u""#, user),
            // Its lower case at the end of a word is another one, and no id ends in one.
            (r#""realm":"ΑΣ""#, AccessTokenQuery::app("c", "b").with_realm("ασ")),
            (r#""home_account_id":null"#, AccessTokenQuery::app("\u{212a}", "b").with_realm("t")),
            (r#""user_assertion_hash":"h""#, AccessTokenQuery::on_behalf_of("h=", "c", "a b")),
            (r#""home_account_id":"u","kid":"k""#, user.with_token_type("pop", Some("k"))),
            (r#""home_account_id":"u","ext":{"fmi_path":"p"}"#, user.with_extended(&extended)),
        ] {
            let term = query.lookup_term().expect("all that it takes");
            let fields = if query.client_id == "c" { fields.into() } else { format!(r#"{fields},"client_id":"k""#) };
            assert!(token(&fields).lookup_terms().contains(&term), "{fields}");
            assert!(!token(r#""home_account_id":"other""#).lookup_terms().contains(&term));
        }
        assert_eq!(AccessTokenQuery::user("u", "c", "a").lookup_term(), None);
        assert_eq!(AccessTokenQuery::user("u", "c", " ").with_realm("t").lookup_term(), None);
    }

    #[test]
    fn each_scope_counts_once_and_what_no_lookup_finds_has_none() {
        assert_eq!(token(r#""target":" a  A b\t B \u212a k ""#).lookup_terms().len(), 3);
        assert_eq!(token(r#""target":"""#).lookup_terms(), []);
        let json = token(r#""home_account_id":"u""#).json;
        let json = std::str::from_utf8(json.expose()).expect("text");
        for (section, key, json) in [
            (section::REFRESH_TOKEN, "key", json),
            (section::ACCESS_TOKEN, "", json),
            ("Unknown", "key", json),
            (section::ACCESS_TOKEN, "key", r#"{"credential_type":"Strange","secret":"s"}"#),
            (section::ACCESS_TOKEN, "key", "[1,"),
        ] {
            assert_eq!(entry(section, key, json).lookup_terms(), [], "{section} {json}");
        }
    }

    #[test]
    fn hashes_are_as_different_as_terms() {
        let hashing = TermHashing::default();
        let query = |realm, client, scope| AccessTokenQuery::user("u", client, scope).with_realm(realm);
        let queries = [
            query("t", "c", "a[b"),
            query("t", "c", "a{b"),
            query("T", "C", "A[B"),
            query("tc", "", "a[b"),
            query("", "tc", "a[b"),
            query("t", "c", "a[b").with_token_type("pop", Some("")),
            AccessTokenQuery::app("c", "a[b").with_realm("t"),
            AccessTokenQuery::on_behalf_of("u", "c", "a[b").with_realm("t"),
            AccessTokenQuery::on_behalf_of("u", "c", "a[b"),
        ];
        for a in &queries {
            for b in &queries {
                assert_eq!(a.lookup_term() == b.lookup_term(), hashing.hash(a) == hashing.hash(b), "{a:?} {b:?}");
            }
        }
        assert_ne!(hashing.hash(&queries[0]), TermHashing::default().hash(&queries[0]), "seeded at random");
    }

    #[test]
    fn nothing_is_shown() {
        let term = AccessTokenQuery::on_behalf_of("planted", "c", "s").lookup_term();
        assert_eq!(format!("{term:?}"), "Some(LookupTerm(..))");
    }
}
