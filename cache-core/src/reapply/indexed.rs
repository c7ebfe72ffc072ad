//! A document, of which no more is indexed than is asked for: most looks find everything where it was put, and most
//! writes are about one user.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use memchr::memmem;

use super::facts::hash;
use crate::document::{UnifiedDocument, owned_entry};
use crate::entry::{Entry, EntryId};
use crate::environment::Environments;
use crate::json::may_hold;
use crate::schema::section;
use crate::secret::{Blob, Secret};
use crate::token_cache::{Standing, TokenCache};

/// Of so many users, the entries of each are searched for and indexed by themselves; for more, all are indexed.
const MOST_USERS: usize = 3;

/// A document that does not change while questions are asked about it.
pub(super) struct Indexed {
    document: UnifiedDocument,
    environments: Environments,
    /// All of it.
    all: OnceCell<Rc<TokenCache>>,
    /// Its accounts alone.
    accounts: OnceCell<TokenCache>,
    /// What may be of one user, by home account id.
    users: RefCell<Vec<(Box<str>, Rc<TokenCache>)>>,
}

impl Indexed {
    pub(super) fn new(document: UnifiedDocument, environments: Environments) -> Self {
        let (all, accounts, users) = (OnceCell::new(), OnceCell::new(), RefCell::default());
        Self { document, environments, all, accounts, users }
    }

    pub(super) fn document(&self) -> &UnifiedDocument {
        &self.document
    }

    pub(super) fn into_document(self) -> UnifiedDocument {
        self.document
    }

    pub(super) fn environments(&self) -> &Environments {
        &self.environments
    }

    /// All that the document says.
    pub(super) fn all(&self) -> &Rc<TokenCache> {
        self.all.get_or_init(|| Rc::new(self.index(self.document.raw_entries())))
    }

    /// Whether there is an `Account` entry of this account in this cloud.
    pub(super) fn holds_account(&self, home_account_id: &str, environment: &str) -> bool {
        let accounts = || self.index(self.document.raw_entries_of(section::ACCOUNT));
        let cache = self.all.get().map_or_else(|| self.accounts.get_or_init(accounts), Rc::as_ref);
        cache.holds_account(home_account_id, environment)
    }

    /// What became of an entry that was written. `is_older` says whether a secret in its place is an older one.
    pub(super) fn standing(&self, entry: &Entry, is_older: &dyn Fn(&Secret) -> bool) -> Standing {
        if self.document.says(entry) {
            return Standing::Stands(entry.id.clone());
        }
        // Of what is not understood the id tells, and under that may stand an entry of anybody.
        let is_of = |user: &&str| {
            let other = self.document.raw_entry(&entry.id);
            other.is_none_or(|json| may_hold(json.expose(), &memmem::Finder::new(user)))
        };
        match entry.account.as_ref().map(|account| &*account.home_account_id).filter(is_of) {
            Some(user) => self.of_user(user).standing(entry, is_older),
            None => self.all().standing(entry, is_older),
        }
    }

    /// The secrets of what stands in the place of an entry.
    pub(super) fn secrets_in_place_of(&self, entry: &Entry) -> Vec<Secret> {
        match (entry.id.section(), &entry.account) {
            (section::ACCOUNT | section::APP_METADATA, _) => Vec::new(),
            (_, Some(account)) => self.of_user(&account.home_account_id).secrets_in_place_of(entry),
            (_, None) => self.all().secrets_in_place_of(entry),
        }
    }

    /// The access, refresh and ID tokens of an account, with the [hashes](hash) of their secrets.
    pub(super) fn credentials_of(&self, home_account_id: &str, environment: &str) -> Vec<(EntryId, String)> {
        let cache = self.of_user(home_account_id);
        let credentials = cache.credentials_of(home_account_id, environment).into_iter();
        credentials.map(|(id, secret)| (id, hash(secret))).collect()
    }

    /// The entries of these sections that may name one of the users.
    pub(super) fn entries_naming<'i, const N: usize>(
        &'i self,
        users: &[&str],
        sections: [&'static str; N],
    ) -> impl Iterator<Item = Entry> + use<'i, N> {
        let names = (users.len() <= MOST_USERS)
            .then(|| users.iter().map(|user| memmem::Finder::new(user).into_owned()).collect::<Vec<_>>());
        let may_be_wanted = move |json: &Blob| {
            names.as_ref().is_none_or(|names| names.iter().any(|name| may_hold(json.expose(), name)))
        };
        let entries = sections.into_iter().flat_map(|section| self.document.raw_entries_of(section));
        entries.filter(move |(_, json)| may_be_wanted(json)).map(|(id, json)| owned_entry(id, json))
    }

    /// What the document says of this user; it may be more.
    fn of_user(&self, home_account_id: &str) -> Rc<TokenCache> {
        let mut users = self.users.borrow_mut();
        if let Some((_, known)) = users.iter().find(|(of, _)| **of == *home_account_id) {
            return Rc::clone(known);
        }
        if self.all.get().is_some() || users.len() == MOST_USERS {
            return Rc::clone(self.all());
        }
        let name = memmem::Finder::new(home_account_id);
        let cache = self.index(self.document.raw_entries().filter(|(_, json)| may_hold(json.expose(), &name)));
        let cache = Rc::new(cache);
        users.push((home_account_id.into(), Rc::clone(&cache)));
        cache
    }

    fn index<'d>(&self, entries: impl Iterator<Item = (EntryId, &'d Blob)>) -> TokenCache {
        TokenCache::of_entries(entries, self.environments.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{AccessToken, Account, AppMetadata, Entity as _, IdToken, RefreshToken};

    const HOST: &str = "login.microsoftonline.com";
    /// One id is the beginning of another.
    const USERS: [&str; 6] = ["ali.t", "alice.t", "alice.t2", "bob.t", "carol.t", "dora.t"];

    /// Of each user, tokens that intersect, twins, and an account under another name of its cloud.
    fn content() -> UnifiedDocument {
        let mut document = UnifiedDocument::default();
        let mut put = |section: &str, key: &str, json: Blob| document.insert(&EntryId::new(section, key), json);
        for (n, user) in USERS.into_iter().enumerate() {
            for (target, secret) in [("read", "one"), ("read write", "two"), ("other", "three")] {
                let token = access_token(Some(user), target, &format!("{secret}-{n}"));
                put(section::ACCESS_TOKEN, &token.key(), token.write());
            }
            let token = RefreshToken {
                home_account_id: user.into(),
                environment: HOST.into(),
                client_id: "client".into(),
                secret: format!("rt-{n}").into(),
                ..RefreshToken::default()
            };
            put(section::REFRESH_TOKEN, &token.key(), token.write());
            put(section::REFRESH_TOKEN, &format!("twin-{n}"), escaped(&token.write(), user));
            let token = IdToken {
                home_account_id: user.into(),
                environment: HOST.into(),
                client_id: "client".into(),
                realm: "tenant".into(),
                secret: format!("id-{n}").into(),
                ..IdToken::default()
            };
            put(section::ID_TOKEN, &token.key(), token.write());
            let account = Account {
                home_account_id: user.into(),
                environment: "login.windows.net".into(),
                realm: "tenant".into(),
                ..Account::default()
            };
            put(section::ACCOUNT, &account.key(), account.write());
        }
        let token = access_token(None, "api/.default", "app");
        put(section::ACCESS_TOKEN, &token.key(), token.write());
        let metadata = AppMetadata { client_id: "client".into(), environment: HOST.into(), ..AppMetadata::default() };
        put(section::APP_METADATA, &metadata.key(), metadata.write());
        put(section::ACCESS_TOKEN, "odd", Blob::copy_of(br#"{"home_account_id":"bob.t","secret":[1]}"#));
        put("Extra", "", Blob::copy_of(b"[1]"));
        document
    }

    fn access_token(user: Option<&str>, target: &str, secret: &str) -> AccessToken {
        AccessToken {
            home_account_id: user.map(Into::into),
            environment: HOST.into(),
            client_id: "client".into(),
            realm: "tenant".into(),
            target: target.into(),
            secret: secret.into(),
            ..AccessToken::default()
        }
    }

    /// The entity with every character of the user's id escaped.
    fn escaped(json: &Blob, user: &str) -> Blob {
        let escapes: Vec<String> = user.chars().map(|character| format!("\\u{:04x}", u32::from(character))).collect();
        let text = std::str::from_utf8(json.expose()).expect("text");
        Blob::new(text.replace(user, &escapes.concat()).replace("rt-", "twin-").into_bytes())
    }

    fn indexed(document: &UnifiedDocument) -> Indexed {
        Indexed::new(document.clone(), Environments::default())
    }

    /// Entries that are asked about: those of the document, and others in their place.
    fn questions(document: &UnifiedDocument) -> Vec<Entry> {
        let mut questions = Vec::new();
        for entry in document.clone().into_entries() {
            let text = std::str::from_utf8(entry.json.expose()).expect("text");
            for (from, to) in [("one-", "new-"), ("rt-", "new-"), ("\"tenant\"", "\"guest\""), ("[1]", "[2]")] {
                questions.push(owned_entry(entry.id.clone(), &Blob::new(text.replace(from, to).into_bytes())));
            }
            // Under the key of somebody else's.
            for other in document.raw_entries_of(entry.id.section()) {
                questions.push(Entry { id: other.0, ..entry.clone() });
            }
        }
        questions
    }

    #[test]
    fn a_part_answers_as_all_of_it_does() {
        let document = content();
        let all = Rc::clone(indexed(&document).all());
        for is_older in [true, false] {
            for entry in questions(&document) {
                let part = indexed(&document);
                let expected = if document.says(&entry) {
                    Standing::Stands(entry.id.clone())
                } else {
                    all.standing(&entry, &|_| is_older)
                };
                assert_eq!(part.standing(&entry, &|_| is_older), expected, "{entry:?}");
                assert_eq!(part.secrets_in_place_of(&entry), all.secrets_in_place_of(&entry), "{entry:?}");
            }
        }
    }

    #[test]
    fn of_each_user_as_much_is_known_as_all_of_it_tells() {
        let document = content();
        let (all, part) = (Rc::clone(indexed(&document).all()), indexed(&document));
        for user in USERS.into_iter().chain(["nobody", ""]) {
            for host in [HOST, "login.windows.net", "login.microsoftonline.us"] {
                assert_eq!(part.holds_account(user, host), all.holds_account(user, host), "{user} {host}");
                let expected: Vec<_> =
                    all.credentials_of(user, host).into_iter().map(|(id, secret)| (id, hash(secret))).collect();
                assert_eq!(part.credentials_of(user, host), expected, "{user} {host}");
            }
        }
    }

    #[test]
    fn what_names_a_user_is_found_among_few_and_among_many() {
        let document = content();
        let wanted = [section::REFRESH_TOKEN, section::ACCOUNT];
        for users in [&USERS[1..2], &USERS[..3], &USERS[..5]] {
            let is_of = |entry: &Entry| entry.account.as_ref().is_some_and(|of| users.contains(&&*of.home_account_id));
            let part = indexed(&document);
            let mut found: Vec<EntryId> =
                part.entries_naming(users, wanted).filter(is_of).map(|entry| entry.id).collect();
            found.sort();
            let all = document.clone().into_entries().filter(|entry| wanted.contains(&entry.id.section()));
            let mut expected: Vec<EntryId> = all.filter(is_of).map(|entry| entry.id).collect();
            expected.sort();
            assert_eq!(found, expected, "{users:?}");
        }
    }

    #[test]
    fn a_commit_of_one_user_indexes_no_other() {
        let document = content();
        let part = indexed(&document);
        let token = access_token(Some("alice.t"), "read", "new");
        let id = EntryId::new(section::ACCESS_TOKEN, token.key());
        let entry = owned_entry(id, &token.write());
        assert_eq!(part.secrets_in_place_of(&entry).len(), 2);
        assert!(matches!(part.standing(&entry, &|_| true), Standing::Gone { stale } if stale.len() == 2));
        assert!(part.holds_account("alice.t", HOST));
        assert!(part.all.get().is_none(), "only what may be of alice");
    }
}
