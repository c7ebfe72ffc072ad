//! Planted secrets: tokens, keys, passphrases, session keys and file contents stand in no `Debug`, error or trace of any
//! public type, whatever goes well or wrong.

use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex};

use cache_core::schema::{AccessToken, Account, AppMetadata, ExtendedKey, IdToken, RefreshToken};
use cache_core::{
    AccessContext, AccessTokenQuery, AppPartition, Blob, CacheStore, Change, Changes, Clock, Context, Documents, Edit,
    Entry, EntryId, Error, Guard, ManualClock, MemoryStore, Part, PartitionKey, PersistedTokenCache, Protector,
    RefreshTokenQuery, Result, Secret, SecretBuffer, StoredDocument, TokenCache, TokenResponse, UnifiedDocument,
    UnixSeconds, Version, blocking,
};
use cache_crypto::{Argon2Params, Envelope, Key, KeyRing, Passphrase};
use cache_file::FileStore;
use cache_testkit::folder::Folder;
use cache_testkit::secrets::{Planted, capture_traces, shown};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// Everything planted, and everything that was shown.
struct Check {
    token: Planted,
    session: Planted,
    words: Planted,
    key: Planted,
    seen: Mutex<String>,
}

impl Check {
    fn new() -> Self {
        Self {
            token: Planted::new("token"),
            session: Planted::new("session"),
            words: Planted::new("passphrase"),
            key: Planted::new("key"),
            seen: Mutex::default(),
        }
    }

    fn show(&self, value: &(impl Debug + ?Sized)) {
        self.text(&format!("{value:?}\n{value:#?}\n"));
    }

    fn text(&self, text: &str) {
        self.seen.lock().expect("one thread").push_str(text);
    }

    fn error<T: Debug>(&self, result: std::result::Result<T, Error>) {
        match result {
            Ok(value) => self.show(&value),
            Err(error) => self.text(&shown(&error)),
        }
    }

    /// A key made of planted text.
    fn raw_key(&self) -> Key {
        let mut bytes = [b'.'; Key::LEN];
        let text = self.key.text().as_bytes();
        let length = text.len().min(Key::LEN);
        bytes[..length].copy_from_slice(&text[..length]);
        Key::from_bytes(&bytes)
    }

    fn passphrase(&self) -> Passphrase {
        let params = Argon2Params::new(16, 1, 1).expect("in bounds");
        Passphrase::new(self.words.text()).expect("words").with_params(params)
    }

    fn finish(self) {
        let seen = self.seen.into_inner().expect("one thread");
        assert!(seen.len() > 10_000, "a great deal was shown: {} bytes", seen.len());
        for planted in [&self.token, &self.session, &self.words] {
            planted.assert_absent_from(&seen);
        }
        // The key may be longer than a key is: its beginning counts.
        assert!(!seen.contains(&self.key.text()[..16.min(self.key.text().len())]), "the key is shown");
        self.key.assert_absent_from(&seen);
    }
}

fn access_token(check: &Check) -> AccessToken {
    AccessToken {
        home_account_id: Some("alice.home".into()),
        environment: "login.windows.net".into(),
        client_id: "client".into(),
        realm: "home".into(),
        target: "User.Read".into(),
        secret: check.token.text().into(),
        cached_at: Some(NOW),
        expires_on: Some(NOW.plus(3600)),
        assertion_hash: Some(check.session.text().into()),
        extended: Some(ExtendedKey::new([("fmi_path", "p")])),
        ..AccessToken::default()
    }
}

fn response(check: &Check) -> TokenResponse {
    TokenResponse {
        access_token: Some(access_token(check)),
        refresh_token: Some(RefreshToken {
            home_account_id: "alice.home".into(),
            environment: "login.windows.net".into(),
            client_id: "client".into(),
            secret: check.token.text().into(),
            assertion_hash: Some(check.session.text().into()),
            ..RefreshToken::default()
        }),
        id_token: Some(IdToken {
            home_account_id: "alice.home".into(),
            environment: "login.windows.net".into(),
            client_id: "client".into(),
            secret: format!("e30.e30.{}", check.token.text()).into(),
            ..IdToken::default()
        }),
        account: Some(Account {
            home_account_id: "alice.home".into(),
            environment: "login.windows.net".into(),
            ..Account::default()
        }),
        app_metadata: Some(AppMetadata {
            client_id: "client".into(),
            environment: "login.windows.net".into(),
            ..AppMetadata::default()
        }),
    }
}

#[test]
fn no_type_of_the_core_shows_a_secret() {
    let check = Check::new();
    let secret = check.token.text();
    let response = response(&check);
    check.show(&response);
    check.show(&Secret::from(secret));
    check.show(&Blob::copy_of(secret.as_bytes()));
    let mut buffer = SecretBuffer::default();
    buffer.push(secret.as_bytes());
    check.show(&buffer);

    let mut cache = TokenCache::default();
    cache.sign_in(response.clone()).expect("complete");
    let unknown = format!(r#"{{"AccessToken":{{"odd":{{"secret":"{secret}","x":"{secret}"}}}},"Foreign":"{secret}"}}"#);
    let odd = TokenCache::deserialize(unknown.as_bytes()).expect("sound");
    check.show(&odd);
    check.show(&cache);
    cache.entries().chain(odd.entries()).for_each(|entry| check.show(&entry));
    check.show(&UnifiedDocument::parse(&cache.serialize()).expect("sound"));
    check.show(&cache.accounts());
    check.show(&AccessTokenQuery::on_behalf_of(check.session.text(), "client", "s"));
    check.show(&RefreshTokenQuery::on_behalf_of(check.session.text(), "client", "e"));

    for partition in [
        PartitionKey::long_running(check.session.text()),
        PartitionKey::custom(check.session.text()),
        PartitionKey::user(check.session.text()),
        PartitionKey::Obo(check.session.text().into()),
        PartitionKey::app(check.session.text(), Some(check.session.text())),
    ] {
        check.show(&partition);
        check.show(&Context::document("file", &partition));
        let id = check.session.text().as_bytes();
        check.show(&Context::of(
            "file",
            &partition,
            Part::Entry { id, written_at: None, expires_on: None, account: id },
        ));
        if let PartitionKey::App(app) = &partition {
            check.show(&AppPartition::clone(app));
        }
    }

    let entry = Entry {
        id: EntryId::new("RefreshToken", check.session.text()),
        account: None,
        written_at: None,
        expires_on: None,
        json: Blob::copy_of(secret.as_bytes()),
    };
    let version = Version::of_content(&entry.json);
    let guard = Some(Guard::Entry(entry.id.clone()));
    let changes = Changes::new(vec![
        Change::Put { entry: entry.clone(), replaces: Some(version.clone()), guard },
        Change::Remove { id: entry.id.clone(), if_match: Some(version.clone()) },
        Change::RemoveAccount { home_account_id: check.session.text().into(), environments: Arc::new([]) },
    ]);
    check.show(&changes);
    check.show(&Edit::Replace(entry.json.clone()));
    check.show(&StoredDocument { bytes: entry.json.clone(), stamp: version });

    let store = MemoryStore::new();
    check.show(&pollster::block_on(store.commit(&PartitionKey::Shared, &Changes::new(vec![Change::put(entry)]))));
    check.show(&pollster::block_on(store.load(&PartitionKey::Shared)));
    check.show(&store);
    check.finish();
}

#[test]
fn no_error_of_the_core_shows_content() {
    let check = Check::new();
    let secret = check.token.text();
    for text in [
        secret.to_owned(),
        format!("\"{secret}\""),
        format!(r#"{{"AccessToken":{{"k":{{"secret":"{secret}" "{secret}"}}}}}}"#),
        format!(r#"{{"AccessToken":{{"k":{{"secret":{secret}}}}}}}"#),
        format!(r#"{{"{secret}"#),
    ] {
        check.error(TokenCache::deserialize(text.as_bytes()));
        check.error(UnifiedDocument::parse(&Blob::copy_of(text.as_bytes())));
    }
    check.error(PartitionKey::from_bytes(format!("user\0{secret}").as_bytes()));
    check.error(TokenCache::default().insert(AccessToken { client_id: "".into(), ..access_token(&check) }));
    check.text(&"-".repeat(10_000));
    check.finish();
}

fn cache(path: &Path, protector: Arc<dyn Protector>) -> Result<blocking::PersistedTokenCache> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    let store = Documents::with_clock(FileStore::at(path).protector(protector).build()?, Arc::clone(&clock));
    Ok(blocking::PersistedTokenCache::new(PersistedTokenCache::builder(store).clock(clock).build()))
}

#[test]
fn nothing_shows_while_a_file_is_used_and_abused() {
    let check = Check::new();
    let directory = Folder::new();
    let path = directory.path().join("tokens.bin");
    let partition = PartitionKey::Shared;
    let ring = KeyRing::from(check.raw_key()).and(check.passphrase());
    check.show(&ring);
    check.show(&check.raw_key());
    check.show(&check.passphrase());
    let traces = capture_traces(|| {
        let protector: Arc<dyn Protector> = Arc::new(Envelope::with_key_ring(ring));
        check.show(&protector);
        let tokens = cache(&path, Arc::clone(&protector)).expect("a usable path");
        check.show(&tokens);
        check.error(tokens.update(&partition, |tokens| tokens.sign_in(response(&check))));
        check.error(tokens.read(&partition, TokenCache::clone));
        let query = AccessTokenQuery::on_behalf_of(check.session.text(), "client", "User.Read");
        check.error(tokens.access_token(&partition, &query));
        let access = tokens.before_access(&AccessContext::new(&partition)).expect("a valid file");
        check.show(&access);
        check.error(access.after_access(Some(format!("{{\"{}", check.token.text()).as_bytes())));
        check.error(tokens.read(&PartitionKey::long_running(check.session.text()), TokenCache::len));

        // The wrong key, damage at some places, plaintext where protected bytes belong.
        let other: Arc<dyn Protector> = Arc::new(Envelope::with_passphrase(check.passphrase()));
        check.error(cache(&path, other).expect("a usable path").read(&partition, TokenCache::len));
        let good = std::fs::read(&path).expect("the file");
        for at in (0..good.len()).step_by(good.len() / 40) {
            let mut damaged = good.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).expect("the disk has room");
            check.error(tokens.read(&partition, TokenCache::len));
        }
        std::fs::write(&path, format!(r#"{{"Foreign":"{}"}}"#, check.token.text())).expect("the disk has room");
        check.error(tokens.read(&partition, TokenCache::len));

        // A damaged plaintext file, read and then written over with what can be saved.
        let plain = directory.path().join("plain.json");
        std::fs::write(&plain, format!(r#"{{"Foreign":"{0}"}} {0}"#, check.token.text())).expect("the disk has room");
        let store = FileStore::at(&plain).plaintext().open().expect("a usable path");
        let plain = blocking::PersistedTokenCache::new(PersistedTokenCache::builder(store).build());
        check.error(plain.read(&partition, TokenCache::clone));
        check.error(plain.update(&partition, |tokens| tokens.sign_in(response(&check))));
    });
    assert!(traces.contains("token_cache.commit"), "the spans were seen: {traces}");
    check.text(&traces);
    check.finish();
}
