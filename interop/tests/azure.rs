//! azure-identity for Python and Azure CLI, each over the cache that it keeps for itself, and this toolkit over the
//! same cache by its preset: each finds what the other has signed in, and a sign-out of either stands.
//!
//! The products run in home folders of their own, with nothing of this machine's environment.
#![cfg(target_os = "linux")] // where they keep plaintext files

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use cache_core::{AccessTokenQuery, PersistedTokenCache, RefreshTokenQuery, TokenResponse, blocking};
use cache_file::presets::{Machine, Platform, Preset, ProductCache};
use interop::answers::{Listed, Silent};
use interop::flows::{self, Flow};
use interop::ours::{PARTITION, wall_clock, writer_account, writer_response};
use interop::peers::{installed, say_missing};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

/// The secret of our access tokens, and a part of that of our refresh tokens.
const OURS: &str = "synthetic-ours";

#[test]
fn a_preset_finds_what_its_product_signs_in() {
    for product in products() {
        for flow in [Flow::User, Flow::Guest, Flow::Foci, Flow::App] {
            let signed_in = product.sign_in(flow);
            assert_eq!(signed_in, flow.definition().response.access_token, "{product:?}");
            // There, and nowhere else.
            assert_eq!(product.files_with(&signed_in), [product.cache().path()], "{product:?} {}", flow.name());
            assert_eq!(found(&product.read_only(), flow), Found::theirs(flow), "{product:?} {}", flow.name());
        }
    }
}

#[test]
fn a_product_answers_with_what_we_sign_in() {
    for product in products() {
        // Into a home where the product has never been, then over what it has signed in itself.
        for is_new in [true, false] {
            if !is_new {
                product.sign_in(Flow::User);
                product.sign_in(Flow::Foci);
            }
            sign_in(&product.writable(), Flow::User);
            let silent = product.silent(Flow::User);
            assert_eq!((silent.access_token.as_deref(), silent.http), (Some(OURS), 0), "{product:?} {silent:?}");
        }
        // Beside the user that it knows, it lists one whom only we have signed in.
        sign_in_another(&product.writable());
        let silent = product.silent(Flow::User);
        if product.lists_accounts() {
            assert_eq!(silent.accounts, [listed(Flow::User), another()], "{product:?}");
        }
        let silent = product.silent(Flow::Foci);
        let theirs = Flow::Foci.definition().response.access_token.as_str();
        assert_eq!((silent.access_token.as_deref(), silent.http), (Some(theirs), 0), "{product:?} {silent:?}");
    }
}

#[test]
fn a_product_refreshes_with_our_refresh_token_and_the_new_one_stands() {
    for product in products() {
        let open = product.writable();
        sign_in(&open, Flow::User);
        let sent = || {
            let line: Value = product.run("refresh", Flow::User).expect("every product has the flow");
            line["refresh_token_sent"].as_str().map(str::to_owned)
        };
        assert_eq!(sent(), Some(format!("refresh-{OURS}")), "{product:?}");
        // For the handle that wrote the old one, for the next process, and for the product after both have looked.
        let theirs = Found::theirs(Flow::User).refresh_token;
        for cache in [&open, &product.writable()] {
            assert_eq!(found(cache, Flow::User).refresh_token, theirs, "{product:?}");
        }
        assert_eq!(sent(), theirs, "{product:?}");
    }
}

#[test]
fn a_product_sees_our_sign_out() {
    for product in products() {
        product.sign_in(Flow::User);
        product.sign_in(Flow::Guest);
        let (home, host) = account(Flow::User);
        let removed = product.writable().update(&PARTITION, |tokens| tokens.remove_account(&home, host));
        assert!(removed.expect("an update").value, "{product:?} had signed in");
        for flow in [Flow::User, Flow::Guest] {
            let silent = product.silent(flow);
            assert_eq!((&silent.access_token, silent.http), (&None, 0), "{product:?} {silent:?}");
            assert_eq!(silent.accounts, [], "{product:?}");
            let asks_to_sign_in = ["AuthenticationRequiredError", "does not exist in MSAL token cache"];
            let error = silent.error.unwrap_or_default();
            assert!(asks_to_sign_in.iter().any(|text| error.contains(text)), "{product:?}: {error}");
        }
        assert_eq!(product.files_with("RT-"), Vec::<PathBuf>::new(), "{product:?}");
    }
}

#[test]
fn a_sign_out_by_azure_cli_stands() {
    for looks_first in [Looks::TheHandle, Looks::TheNextProcess] {
        for product in products().filter(Product::lists_accounts) {
            let mut caches = vec![product.writable(), product.writable()];
            sign_in(&caches[0], Flow::User);
            sign_in_another(&caches[0]);
            product.sign_in(Flow::Foci);
            assert_eq!(product.sign_out("sign-out"), Ok(vec![account(Flow::User).0]), "{product:?}");
            if looks_first == Looks::TheNextProcess {
                caches.reverse();
            }
            for cache in &caches {
                assert_eq!(home_account_ids(cache), [writer_account().0], "{product:?} {looks_first:?}");
                sign_in_another(cache);
                assert_eq!(found(cache, Flow::User), Found::default(), "{product:?} {looks_first:?}");
            }
            let silent = product.silent(Flow::User);
            assert_eq!((silent.access_token, silent.accounts), (None, vec![another()]), "{product:?} {looks_first:?}");
        }
    }
}

#[test]
fn a_cache_that_is_deleted_stays_deleted() {
    for looks_first in [Looks::TheHandle, Looks::TheNextProcess] {
        for product in products() {
            let open = product.writable();
            sign_in(&open, Flow::User);
            product.sign_in(Flow::Foci);
            delete(&product);
            let path = product.cache().path().to_owned();
            assert!(!path.exists(), "{product:?}");

            let cache = if looks_first == Looks::TheHandle { open } else { product.writable() };
            assert_eq!(home_account_ids(&cache), Vec::<String>::new(), "{product:?} {looks_first:?}");
            assert!(!path.exists(), "{product:?} {looks_first:?}");
            // Nor does a copy of ours outlive it.
            assert_eq!(product.files_with(OURS), Vec::<PathBuf>::new(), "{product:?} {looks_first:?}");

            sign_in_another(&cache);
            assert_eq!(home_account_ids(&cache), [writer_account().0], "{product:?} {looks_first:?}");
            let silent = product.silent(Flow::User);
            assert_eq!((&silent.access_token, silent.http), (&None, 0), "{product:?} {looks_first:?} {silent:?}");
        }
    }
}

/// Who is the first to look at what somebody was signed out of: the handle that wrote there, or one that never has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looks {
    TheHandle,
    TheNextProcess,
}

/// Azure CLI deletes the file when everybody is signed out; azure-identity has no sign-out, so its users delete it.
fn delete(product: &Product) {
    match product.sign_out("sign-out-everybody") {
        Ok(removed) => assert_eq!(removed, [account(Flow::User).0], "{product:?}"),
        Err(_) => fs::remove_file(product.cache().path()).expect("it has signed in"),
    }
}

// The products.

/// A product over a home folder of its own.
#[derive(Debug)]
struct Product {
    preset: Preset,
    home: TempDir,
    /// What is said beside `HOME`.
    variable: Option<(&'static str, PathBuf)>,
}

/// Every product, each with a home folder that is empty; none if they are not installed, which is said once.
///
/// # Panics
/// If they must be there.
fn products() -> impl Iterator<Item = Product> {
    static IS_MISSING: LazyLock<bool> = LazyLock::new(|| {
        let is_missing = !python().exists();
        if is_missing {
            say_missing("azure-identity and Azure CLI");
        }
        is_missing
    });
    let product = |(preset, variable): (Preset, Option<&'static str>)| {
        let home = tempfile::tempdir().expect("a temporary folder");
        let variable = variable.map(|name| (name, home.path().join("elsewhere")));
        Product { preset, home, variable }
    };
    let all = [
        (Preset::AzureIdentity, None),
        (Preset::AzureIdentityCae, None),
        (Preset::AzureCli, None),
        (Preset::AzureCli, Some("AZURE_CONFIG_DIR")),
    ];
    all.into_iter().filter(|_| !*IS_MISSING).map(product)
}

/// The interpreter of the environment that `run.sh` installs: under `INTEROP_PEERS`, else beside this program.
fn python() -> PathBuf {
    installed().join("python-azure/bin/python")
}

impl Product {
    /// Where the preset says that the product keeps its cache.
    fn cache(&self) -> ProductCache {
        let mut machine = Machine::new(Platform::Linux, self.home.path());
        if let Some((name, value)) = &self.variable {
            machine = machine.with_variable(name, value);
        }
        self.preset.on(&machine).expect("a home folder")
    }

    /// The cache as this toolkit opens it for whoever only looks.
    fn read_only(&self) -> blocking::PersistedTokenCache {
        self.open(true)
    }

    /// The cache as this toolkit opens it for whoever signs in there too.
    fn writable(&self) -> blocking::PersistedTokenCache {
        self.open(false)
    }

    fn open(&self, read_only: bool) -> blocking::PersistedTokenCache {
        let store = self.cache().store().expect("plaintext on Linux").read_only(read_only);
        blocking::PersistedTokenCache::new(PersistedTokenCache::builder(store.open().expect("a path")).build())
    }

    /// Whether it tells who is signed in, and signs them out.
    fn lists_accounts(&self) -> bool {
        self.preset == Preset::AzureCli
    }

    /// Signs in by the product; answers the access token that it has afterwards.
    fn sign_in(&self, flow: Flow) -> String {
        let line: Value = self.run("sign-in", flow).expect("every product has the flow");
        line["access_token"].as_str().expect("an access token").to_owned()
    }

    /// Asks the product for a token as a new process.
    fn silent(&self, flow: Flow) -> Silent {
        self.run("silent", flow).expect("every product has the flow")
    }

    /// Signs out; answers the home account ids of those who were. `Err`: the product signs nobody out.
    fn sign_out(&self, command: &str) -> Result<Vec<String>, String> {
        let line: Value = self.run(command, Flow::User)?;
        Ok(Vec::deserialize(&line["removed"]).expect("a list of texts"))
    }

    /// Runs a command of `azure_products.py` to its end. `Err`: why the product does not have it.
    fn run<T: for<'d> Deserialize<'d>>(&self, command: &str, flow: Flow) -> Result<T, String> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/python/azure_products.py");
        let output = Command::new(python())
            .arg(program)
            .args([command, "--product", self.preset.name(), "--flow", flow.name()])
            .env_clear()
            .env("HOME", self.home.path())
            .envs(self.variable.clone())
            .env("INTEROP_FLOWS", flows::PATH)
            .env("PYTHONWARNINGS", "ignore")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stderr(Stdio::inherit())
            .output()
            .expect("an interpreter that was just seen");
        let line: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{self:?}: {command} says no line of JSON: {error}"));
        match output.status.code() {
            Some(0) => Ok(serde_json::from_value(line).expect("the line that the contract names")),
            Some(3) => Err(line["unsupported"].as_str().unwrap_or_default().to_owned()),
            status => panic!("{self:?}: {command} fails with status {status:?}: {line}"),
        }
    }

    /// The files in the home folder that contain this text.
    fn files_with(&self, text: &str) -> Vec<PathBuf> {
        let contains = |bytes: Vec<u8>| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let mut folders = vec![self.home.path().to_owned()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if contains(fs::read(&path).expect("a file")) {
                    files.push(path);
                }
            }
        }
        files
    }
}

// This toolkit.

/// What this toolkit finds of a flow.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    access_token: Option<String>,
    refresh_token: Option<String>,
    username: Option<String>,
}

impl Found {
    /// All that a product leaves.
    fn theirs(flow: Flow) -> Self {
        let response = &flow.definition().response;
        Self {
            access_token: Some(response.access_token.clone()),
            refresh_token: response.refresh_token.clone(),
            username: response.claim("preferred_username").map(str::to_owned),
        }
    }
}

fn found(cache: &blocking::PersistedTokenCache, flow: Flow) -> Found {
    let definition = flow.definition();
    let (client, host, scopes) = (&*definition.client_id, definition.host(), definition.scopes.join(" "));
    let home = definition.home_account_id();
    let query = match &home {
        Some(home) => AccessTokenQuery::user(home, client, &scopes),
        None => AccessTokenQuery::app(client, &scopes),
    };
    let query = query.with_environment(host).with_realm(definition.tenant());
    let access_token = cache.access_token(&PARTITION, &query).expect("a valid cache");
    let of_user = |tokens: &cache_core::TokenCache| {
        let home = home.as_deref()?;
        let refresh_tokens = tokens.refresh_tokens(&RefreshTokenQuery::user(home, client, host));
        let best = refresh_tokens.first().map(|(_, token)| token.secret.expose().to_owned());
        Some((best, tokens.account(home, host).map(|account| account.username.to_string())))
    };
    let (refresh_token, username) = cache.read(&PARTITION, of_user).expect("a valid cache").unwrap_or_default();
    Found { access_token: access_token.map(|token| token.secret.expose().to_owned()), refresh_token, username }
}

fn home_account_ids(cache: &blocking::PersistedTokenCache) -> Vec<String> {
    let ids = |tokens: &cache_core::TokenCache| {
        let accounts = tokens.accounts().into_iter().map(|account| account.home_account_id.to_string());
        accounts.collect()
    };
    cache.read(&PARTITION, ids).expect("a valid cache")
}

/// Signs in the user of the flow.
fn sign_in(cache: &blocking::PersistedTokenCache, flow: Flow) {
    let definition = flow.definition();
    let (now, scopes) = (wall_clock(), definition.scopes.join(" "));
    let mut response = writer_response(&account(flow).0, &definition.client_id, &scopes, OURS, now);
    let realm = definition.tenant();
    if let Some(token) = &mut response.access_token {
        token.realm = realm.into();
    }
    if let (Some(token), Some(secret)) = (&mut response.id_token, definition.response.id_token(now)) {
        (token.realm, token.secret) = (realm.into(), secret.into());
    }
    if let Some(account) = &mut response.account {
        account.realm = realm.into();
        account.username = listed(flow).username.unwrap_or_default().into();
    }
    put(cache, response);
}

/// Signs in a user whom no flow has, for the client of the flow `user`.
fn sign_in_another(cache: &blocking::PersistedTokenCache) {
    let client = &Flow::User.definition().client_id;
    put(cache, writer_response(writer_account().0, client, "User.Read", "synthetic-other", wall_clock()));
}

fn put(cache: &blocking::PersistedTokenCache, response: TokenResponse) {
    let updated = cache.update(&PARTITION, |tokens| tokens.sign_in(response)).expect("an update");
    updated.value.expect("a whole response");
}

/// The user of the flow: home account id and host.
fn account(flow: Flow) -> (String, &'static str) {
    let definition = flow.definition();
    (definition.home_account_id().expect("a flow of a user"), definition.host())
}

/// The user of the flow, as a product lists accounts.
fn listed(flow: Flow) -> Listed {
    Listed { home_account_id: account(flow).0, username: Found::theirs(flow).username }
}

/// The user whom [`sign_in_another`] signs in, as a product lists accounts.
fn another() -> Listed {
    Listed { home_account_id: writer_account().0.to_owned(), username: Some(flows::write().username.clone()) }
}
