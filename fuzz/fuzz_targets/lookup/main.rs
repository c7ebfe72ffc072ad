//! A cache that is read, changed, copied and written at random answers every lookup as a scan over plain fields does.

#![no_main]

mod entities;
mod naive;
mod questions;
mod style;
mod writes;

use arbitrary::Arbitrary;
use cache_core::schema::{Entity, ExtendedKey, section};
use cache_core::{
    AccessTokenQuery, Blob, Entry, EntryId, Environments, ErrorKind, Insertable, RefreshTokenQuery, Scopes, TokenCache,
    TokenResponse, UnifiedDocument, UnixSeconds,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

use self::entities::{CLIENTS, HOMES, HOSTS, NOW, PlainSpec, RefreshSpec, TokenSpec, scopes, time};
use self::naive::{Account, Extended, Identity, Metadata, Model, Owner, Question, Refresh, RefreshQuestion, Token};
use self::questions::{QuestionSpec, RefreshQuestionSpec};
use self::style::{Style, pick};
use self::writes::{Kept, insert};

/// The most operations of one run.
const OPERATIONS: usize = 40;
/// A cache with more entries than this is checked at the end only, and gets no further bulk.
const LARGE: usize = 64;
/// The most tokens that suggest questions.
const ASKED: usize = 6;

#[derive(Arbitrary, Debug)]
struct Run {
    grouped: bool,
    operations: Vec<Operation>,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    InsertToken(TokenSpec),
    InsertRefresh(RefreshSpec),
    InsertIdentity(PlainSpec),
    InsertAccount(PlainSpec),
    InsertMetadata(PlainSpec),
    /// A token that is there, put once more with another secret and other scopes.
    InsertAgain {
        which: u8,
        scopes: (u16, u16),
    },
    Respond {
        response: Box<ResponseSpec>,
        sign_in: bool,
    },
    ImportToken(TokenSpec, Style),
    ImportRefresh(RefreshSpec, Style),
    ImportIdentity(PlainSpec, Style),
    ImportAccount(PlainSpec, Style),
    ImportMetadata(PlainSpec, Style),
    ImportUnclassifiable {
        section: u8,
        spec: PlainSpec,
        key: u8,
    },
    ImportSection {
        name: u8,
        text: u8,
    },
    /// Many tokens that differ in one field.
    ImportMany {
        count: u8,
        spec: TokenSpec,
        varied: u8,
    },
    Remove {
        which: u8,
    },
    RemoveUnknown {
        section: u8,
    },
    RemoveAccount {
        home: u8,
        host: u8,
    },
    RemoveExpired {
        now: i8,
    },
    RemoveClient {
        client: u8,
    },
    Reload,
    Copy,
    Ask(QuestionSpec),
    AskForRefreshTokens(RefreshQuestionSpec),
}

#[derive(Arbitrary, Debug)]
struct ResponseSpec {
    token: Option<TokenSpec>,
    refresh: Option<RefreshSpec>,
    identity: Option<PlainSpec>,
    account: Option<PlainSpec>,
    metadata: Option<PlainSpec>,
}

fuzz_target!(|run: Run| {
    let mut tested = Tested::new(run.grouped);
    let mut copies = Vec::new();
    for operation in run.operations.iter().take(OPERATIONS) {
        tested.apply(operation);
        if tested.model.len() <= LARGE {
            tested.holds_what_it_should();
        }
        if matches!(operation, Operation::Copy) && copies.len() < 2 {
            copies.push(Tested { cache: tested.cache.clone(), model: tested.model.clone() });
        }
    }
    tested.holds_what_it_should();
    tested.answers_every_question();
    // What was done since does not show in a copy.
    for copy in copies {
        copy.holds_what_it_should();
        copy.answers_every_question();
    }
});

struct Tested {
    cache: TokenCache,
    model: Model,
}

impl Tested {
    fn new(grouped: bool) -> Self {
        Self { cache: TokenCache::with_environments(clouds(grouped)), model: Model { grouped, ..Model::default() } }
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::InsertToken(spec) => self.insert(&spec.given(), Token::typed),
            Operation::InsertRefresh(spec) => self.insert(&spec.fields(), Refresh::typed),
            Operation::InsertIdentity(spec) => self.insert(&spec.id_token(), Identity::typed),
            Operation::InsertAccount(spec) => self.insert(&spec.account(), Account::typed),
            Operation::InsertMetadata(spec) => self.insert(&spec.metadata(), Metadata::typed),
            Operation::InsertAgain { which, scopes: named } => self.insert_again(*which, *named),
            Operation::Respond { response, sign_in } => self.respond(response, *sign_in),
            Operation::ImportToken(spec, style) => {
                let mut fields = spec.fields();
                let (key, json) = fields.json(*style);
                let understood = !(fields.environment.is_empty() || fields.client.is_empty());
                self.import(section::ACCESS_TOKEN, &key, &json, |model| {
                    understood.then(|| model.tokens.insert(key.clone(), fields)).is_some()
                });
            }
            Operation::ImportRefresh(spec, style) => {
                let mut fields = spec.fields();
                let (key, json) = fields.json(*style);
                self.import(section::REFRESH_TOKEN, &key, &json, |model| {
                    fields.is_writable().then(|| model.refresh_tokens.insert(key.clone(), fields)).is_some()
                });
            }
            Operation::ImportIdentity(spec, style) => {
                let mut fields = spec.id_token();
                let (key, json) = fields.json(*style);
                let understood =
                    ![&fields.home, &fields.environment, &fields.client].iter().any(|text| text.is_empty());
                self.import(section::ID_TOKEN, &key, &json, |model| {
                    understood.then(|| model.id_tokens.insert(key.clone(), fields)).is_some()
                });
            }
            Operation::ImportAccount(spec, style) => {
                let mut fields = spec.account();
                let (key, json) = fields.json(*style);
                self.import(section::ACCOUNT, &key, &json, |model| {
                    fields.is_writable().then(|| model.accounts.insert(key.clone(), fields)).is_some()
                });
            }
            Operation::ImportMetadata(spec, style) => {
                let mut fields = spec.metadata();
                let (key, json) = fields.json(*style);
                self.import(section::APP_METADATA, &key, &json, |model| {
                    fields.is_writable().then(|| model.metadata.insert(key.clone(), fields)).is_some()
                });
            }
            Operation::ImportUnclassifiable { section, spec, key } => {
                self.import(
                    pick(&section::ALL, *section),
                    pick(&["a", "A", "b"], *key),
                    &spec.unclassifiable(),
                    |_| false,
                );
            }
            Operation::ImportSection { name, text } => {
                self.import(pick(&["Other", "accesstoken"], *name), "", &format!("[{text}, null]"), |_| false);
            }
            Operation::ImportMany { count, spec, varied } => self.import_many(*count, spec, *varied),
            Operation::Remove { which } => {
                let ids: Vec<EntryId> = self.cache.entries().map(|entry| entry.id).collect();
                if let Some(id) = ids.get(usize::from(*which) % ids.len().max(1)) {
                    assert!(self.cache.remove(id) && self.model.remove(id.section(), id.key()));
                }
            }
            Operation::RemoveUnknown { section } => {
                assert!(!self.cache.remove(&EntryId::new(pick(&section::ALL, *section), "not there")));
            }
            Operation::RemoveAccount { home, host } => {
                let (home, host) = (pick(&HOMES[..3], *home), pick(&HOSTS[..6], *host));
                assert_eq!(self.cache.remove_account(home, host), self.model.remove_account(home, host));
            }
            Operation::RemoveExpired { now } => {
                let now = time(*now);
                assert_eq!(self.cache.remove_expired(UnixSeconds(now)), self.model.remove_expired(now));
            }
            Operation::RemoveClient { client } => {
                let client = pick(&CLIENTS, *client);
                assert_eq!(self.cache.remove_client(client), self.model.remove_client(client));
            }
            Operation::Reload => self.cache = self.reloaded(),
            Operation::Copy => {}
            Operation::Ask(spec) => {
                let like = spec.like.and_then(|which| nth(self.model.tokens.values(), which));
                self.answers(&spec.question(like), spec.as_list);
            }
            Operation::AskForRefreshTokens(spec) => self.answers_for_refresh_tokens(&spec.question()),
        }
    }

    fn insert<E: Kept, T: Insertable>(&mut self, fields: &E, typed: impl Fn(&E) -> T) {
        let inserted = self.cache.insert(typed(fields));
        if !fields.is_writable() {
            assert_eq!(inserted.expect_err("a field is missing").kind(), ErrorKind::InvalidInput);
            return;
        }
        inserted.expect("every field is there");
        self.expect(fields, typed);
    }

    /// The model after an insertion that the cache has made.
    fn expect<E: Kept, T: Entity>(&mut self, fields: &E, typed: impl Fn(&E) -> T) {
        let actual = Model::of(&self.cache, self.model.grouped);
        let canonical = |host: &str| {
            let mut fields = fields.clone();
            fields.set_environment(host);
            typed(&fields).key()
        };
        insert(&mut self.model, fields.clone(), canonical, &actual);
    }

    fn insert_again(&mut self, which: u8, named: (u16, u16)) {
        let tokens: Vec<_> = self.cache.access_tokens().map(|(_, token)| token).collect();
        let Some(token) = tokens.get(usize::from(which) % tokens.len().max(1)) else { return };
        if let Some(Extended::Unknown) = token.extended.as_ref().map(|_| Token::of(token).extended) {
            // It answers no request, so that there is none that it comes from.
            return;
        }
        let mut token = (***token).clone();
        token.secret = "again".into();
        let scopes = scopes(named);
        if !scopes.is_empty() {
            token.target = scopes.join(" ").into();
        }
        let typed = token.clone();
        self.insert(&Token::of(&token), move |fields| {
            let mut typed = typed.clone();
            typed.environment = (*fields.environment).into();
            typed
        });
    }

    fn respond(&mut self, spec: &ResponseSpec, sign_in: bool) {
        let token = spec.token.as_ref().map(TokenSpec::given);
        let refresh = spec.refresh.as_ref().map(RefreshSpec::fields);
        let identity = spec.identity.as_ref().map(PlainSpec::id_token);
        let account = spec.account.as_ref().map(PlainSpec::account);
        let metadata = spec.metadata.as_ref().map(PlainSpec::metadata);
        let response = TokenResponse {
            access_token: token.as_ref().map(Token::typed),
            refresh_token: refresh.as_ref().map(Refresh::typed),
            id_token: identity.as_ref().map(Identity::typed),
            account: account.as_ref().map(Account::typed),
            app_metadata: metadata.as_ref().map(Metadata::typed),
        };
        // Whose response it is, as the first entity of a user tells it.
        let of = |home: &str, host: &str| Some((home.to_owned(), host.to_owned()));
        let user = (account.as_ref().and_then(|account| of(&account.home, &account.environment)))
            .or_else(|| refresh.as_ref().and_then(|token| of(&token.home, &token.environment)))
            .or_else(|| token.as_ref().and_then(|token| of(token.home.as_ref()?, &token.environment)))
            .or_else(|| identity.as_ref().and_then(|token| of(&token.home, &token.environment)));
        let answer =
            if sign_in { self.cache.sign_in(response).map(|()| true) } else { self.cache.insert_response(response) };
        if !sign_in && user.is_some_and(|(home, host)| !self.model.knows(&home, &host)) {
            assert!(!answer.expect("nothing is put"), "the user was signed out");
            return;
        }
        let whole = token.as_ref().is_none_or(Token::is_writable)
            && refresh.as_ref().is_none_or(Refresh::is_writable)
            && identity.as_ref().is_none_or(Identity::is_writable)
            && account.as_ref().is_none_or(Account::is_writable)
            && metadata.as_ref().is_none_or(Metadata::is_writable);
        if !whole {
            assert_eq!(answer.expect_err("a field is missing").kind(), ErrorKind::InvalidInput);
            return;
        }
        assert!(answer.expect("every field is there"));
        if let Some(fields) = account {
            self.expect(&fields, Account::typed);
        }
        if let Some(fields) = identity {
            self.expect(&fields, Identity::typed);
        }
        if let Some(fields) = refresh {
            self.expect(&fields, Refresh::typed);
        }
        if let Some(fields) = token {
            self.expect(&fields, Token::typed);
        }
        if let Some(fields) = metadata {
            self.expect(&fields, Metadata::typed);
        }
    }

    /// Puts an entry as it is; `note` tells the model, and whether the entry can be understood.
    fn import(&mut self, section: &str, key: &str, json: &str, note: impl FnOnce(&mut Model) -> bool) {
        self.cache.insert_entry(entry(section, key, json));
        self.model.remove(section, key);
        if !note(&mut self.model) {
            self.model.foreign.insert((section.to_owned(), key.to_owned()), json.to_owned());
        }
    }

    fn import_many(&mut self, count: u8, spec: &TokenSpec, varied: u8) {
        if self.model.len() > LARGE {
            return;
        }
        let plain = Token {
            environment: "login.windows.net".into(),
            client: "client".into(),
            target: "User.Read".into(),
            extended: Extended::No,
            token_type: None,
            ..spec.fields()
        };
        for n in 0..count {
            let mut fields = plain.clone();
            match varied % 5 {
                0 => fields.realm = format!("tenant {n}"),
                1 => fields.target = format!("Scope.{n} User.Read"),
                2 => fields.key_id = Some(format!("key {n}")),
                3 => fields.home = Some(format!("user {n}")),
                _ => fields.expires_on = Some(NOW + 3600 + i64::from(n)),
            }
            let key = format!("many {n}");
            let json = token_json(&fields);
            self.import(section::ACCESS_TOKEN, &key.clone(), &json, |model| {
                model.tokens.insert(key, fields);
                true
            });
        }
    }

    fn reloaded(&self) -> TokenCache {
        let written = self.cache.serialize();
        TokenCache::deserialize_with(written.expose(), clouds(self.model.grouped))
            .expect("what was written is a document")
    }

    fn holds_what_it_should(&self) {
        let actual = Model::of(&self.cache, self.model.grouped);
        assert_eq!(actual, self.model);
        assert_eq!(self.cache.len(), self.model.len());
        assert_eq!(self.cache.is_empty(), self.model.len() == 0);
        assert_eq!(self.cache.entries().count(), self.model.len());
    }

    /// The questions that the entities themselves suggest, put to the cache and to what it is once written and read.
    fn answers_every_question(&self) {
        let again = Self { cache: self.reloaded(), model: self.model.clone() };
        again.holds_what_it_should();
        let tokens: Vec<&Token> = self.model.tokens.values().collect();
        for token in tokens.iter().step_by(tokens.len() / ASKED + 1) {
            let own = Question::that_answers(token);
            let in_capitals = Question {
                client: token.client.to_uppercase(),
                realm: Some(token.realm.to_uppercase()),
                environment: None,
                ..own.clone()
            };
            let of_any_tenant = Question { realm: None, ..own.clone() };
            for asked in [own, in_capitals, of_any_tenant] {
                let best = self.answers(&asked, false);
                assert_eq!(best, again.answers(&asked, true), "the answer does not depend on the order of writing");
            }
        }
        for token in self.model.refresh_tokens.values() {
            let asked = RefreshQuestion {
                owner: token.assertion.clone().map_or_else(|| Ok(token.home.clone()), Err),
                client: token.client.clone(),
                environment: token.environment.clone(),
                extended: token.extended.clone(),
            };
            self.answers_for_refresh_tokens(&asked);
            again.answers_for_refresh_tokens(&asked);
        }
        for token in self.model.id_tokens.values() {
            let find = |cache: &TokenCache| {
                let found = cache.id_token(&token.home, &token.environment, &token.client, &token.realm);
                found.map(|token| Identity::of(token))
            };
            let found = find(&self.cache).expect("at least this one");
            let best = self.model.id_tokens(&token.home, &token.environment, &token.client, &token.realm);
            assert!(best.iter().any(|key| self.model.id_tokens[*key] == found), "{found:?} is not among {best:?}");
            assert_eq!(find(&again.cache), Some(found));
        }
        for known in self.model.metadata.values() {
            let find = |cache: &TokenCache| {
                cache.app_metadata(&known.environment, &known.client).map(|known| Metadata::of(known))
            };
            let found = find(&self.cache).expect("at least this one");
            let best = self.model.metadata_of(&known.client, &known.environment);
            assert!(best.iter().any(|key| self.model.metadata[*key] == found), "{found:?} is not among {best:?}");
            assert_eq!(find(&again.cache), Some(found));
        }
        self.groups_accounts();
    }

    /// Puts a question; answers the key text of the best token.
    fn answers(&self, asked: &Question, as_list: bool) -> Option<String> {
        let list: Vec<&str> = asked.scopes.iter().map(|scope| &**scope).collect();
        let text = list.join("  ");
        let scopes = if as_list { Scopes::from(&list[..]) } else { Scopes::from(&text) };
        let mut query = match &asked.owner {
            Owner::User(home) => AccessTokenQuery::user(home, &asked.client, scopes),
            Owner::App => AccessTokenQuery::app(&asked.client, scopes),
            Owner::Assertion(hash) => AccessTokenQuery::on_behalf_of(hash, &asked.client, scopes),
        };
        if let Some(host) = &asked.environment {
            query = query.with_environment(host);
        }
        if let Some(realm) = &asked.realm {
            query = query.with_realm(realm);
        }
        if asked.token_type.is_some() || asked.key_id.is_some() {
            let name = asked.token_type.as_deref().unwrap_or("Bearer");
            query = query.with_token_type(name, asked.key_id.as_deref());
        }
        let key = self.extended_key(&asked.extended);
        if let Some(key) = &key {
            query = query.with_extended(key);
        }
        if let Some(resource) = &asked.resource {
            query = query.with_resource(resource);
        }
        let (query, now) = (query.with_margin(asked.margin), UnixSeconds(asked.now));

        let found: Vec<EntryId> = self.cache.matching_access_tokens(&query, now).map(|(id, _)| id).collect();
        let mut keys: Vec<&str> = found.iter().map(EntryId::key).collect();
        keys.sort_unstable();
        let expected: Vec<&str> = self.model.answering(asked).into_iter().collect();
        assert_eq!(keys, expected, "{asked:?}");

        let best = self.cache.access_token(&query, now);
        let greatest = expected.iter().map(|key| self.model.rank(key)).max();
        assert_eq!(best.is_some(), greatest.is_some());
        let best = Token::of(best?);
        let best =
            expected.into_iter().find(|key| self.model.tokens[*key] == best && Some(self.model.rank(key)) == greatest);
        Some(best.expect("one of those that answer best").to_owned())
    }

    fn answers_for_refresh_tokens(&self, asked: &RefreshQuestion) {
        let mut query = match &asked.owner {
            Ok(home) => RefreshTokenQuery::user(home, &asked.client, &asked.environment),
            Err(hash) => RefreshTokenQuery::on_behalf_of(hash, &asked.client, &asked.environment),
        };
        let key = self.extended_key(&asked.extended);
        if let Some(key) = &key {
            query = query.with_extended(key);
        }
        let found = self.cache.refresh_tokens(&query);
        let keys: Vec<&str> = found.iter().map(|(id, _)| id.key()).collect();
        assert!(found.iter().all(|(id, token)| self.model.refresh_tokens[id.key()] == Refresh::of(token)));
        let families = self.model.families(&asked.client, &asked.environment);
        let orders: Vec<_> = families.iter().flat_map(|family| self.model.refresh_tokens(asked, *family)).collect();
        assert!(orders.contains(&keys), "{asked:?}: {keys:?} is none of {orders:?}");
    }

    fn groups_accounts(&self) {
        let groups = self.cache.accounts();
        assert!(groups.is_sorted_by(|a, b| a.home_account_id <= b.home_account_id));
        let entities = groups.iter().map(|group| group.entities.len()).sum::<usize>();
        assert_eq!(entities, self.model.accounts.len());
        for group in &groups {
            let expected = self.model.account(&group.home_account_id, &group.environment);
            let one = self.cache.account(&group.home_account_id, &group.environment).expect("it is listed");
            let mut of_group: Vec<String> =
                group.entities.iter().map(|one| format!("{:?}", Account::of(one))).collect();
            let mut alone: Vec<String> = one.entities.iter().map(|one| format!("{:?}", Account::of(one))).collect();
            let expected = expected.into_iter().map(|key| format!("{:?}", self.model.accounts[key]));
            let mut expected: Vec<String> = expected.collect();
            of_group.sort();
            alone.sort();
            expected.sort();
            assert_eq!(of_group, expected);
            assert_eq!(alone, expected);
        }
    }

    /// The key to ask with. That of a hash whose components are not known comes from a token that has it.
    fn extended_key(&self, asked: &Extended) -> Option<ExtendedKey> {
        match asked {
            Extended::Hash(_) | Extended::Unknown => {
                let mut known = self.cache.access_tokens().filter_map(|(_, token)| {
                    (Token::of(token).extended == *asked).then(|| token.extended.clone()).flatten()
                });
                Some(known.next().unwrap_or_else(|| ExtendedKey::new([("none", "has this")])))
            }
            other => other.typed(),
        }
    }
}

fn clouds(grouped: bool) -> Environments {
    let known = Environments::default();
    if grouped { known.with_group(["adfs.example", "sts.example"]) } else { known }
}

/// The entry as a store reads it from a document.
fn entry(section: &str, key: &str, json: &str) -> Entry {
    let content = if key.is_empty() { json.to_owned() } else { format!("{{{}:{json}}}", Value::from(key)) };
    let document = Blob::new(format!("{{{}:{content}}}", Value::from(section)).into_bytes());
    let mut entries = UnifiedDocument::parse(&document).expect("a document").into_entries();
    entries.next().expect("one entry")
}

/// A token's JSON in one fixed style.
fn token_json(token: &Token) -> String {
    let entity = token.typed().write();
    let mut fields: Value = serde_json::from_slice(entity.expose()).expect("an entity is JSON");
    // What a token without these fields is not said to have.
    for (name, known) in [
        ("token_type", token.token_type.is_some()),
        ("extended_expires_on", token.extended_expires_on.is_some()),
        ("expires_on", token.expires_on.is_some()),
    ] {
        if let (false, Some(fields)) = (known, fields.as_object_mut()) {
            fields.remove(name);
        }
    }
    if let Some(hash) = &token.assertion {
        fields["user_assertion_hash"] = (&**hash).into();
    }
    fields.to_string()
}

fn nth<T>(list: impl ExactSizeIterator<Item = T>, at: u8) -> Option<T> {
    let length = list.len();
    let mut list = list;
    if length == 0 { None } else { list.nth(usize::from(at) % length) }
}
