//! One Redis server, and processes of several libraries that get tokens for the users of one application, each told line by line
//! what to do.
//!
//! MSAL.NET's program has this as `distributed worker`; MSAL Node's is `peers/node/redis.mjs`, this toolkit's `ours redis-worker`.
//! A worker reads an [`Order`] in each line and answers it by an [`Answer`].

mod workers;

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cache_core::schema::{AccessToken, Account, AppMetadata, Entity as _, IdToken, RefreshToken};
use cache_core::{
    AccessTokenQuery, AccountRef, Entry, EntryId, Error, ErrorKind, PartitionKey, PersistedTokenCache,
    RefreshTokenQuery, Result, Skip, TokenResponse, UnixMillis, assertion_hash, blocking,
};
use cache_redis::{RedisPeerStore, RedisStore};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::flows::encoded;
use crate::ours::wall_clock;

pub use self::workers::{Worker, ask};

/// The application that all workers are, as MSAL.NET's program has it.
pub const CLIENT: &str = "11111111-2222-3333-4444-555555555555";
/// The application's tenant.
pub const TENANT: &str = "00000000-0000-0000-0000-0000000000bb";
/// What MSAL.NET's program puts before its keys.
pub const INSTANCE: &str = "web:";
/// The host that entries stand under.
const HOST: &str = "login.windows.net";

/// How this toolkit keeps the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// In its own layout, a field for each entry.
    Fields,
    /// As Microsoft.Identity.Web does.
    Idweb,
    /// As MSAL Node does.
    Node,
}

/// How a worker gets a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    /// From the cache, else by the refresh token.
    Silent,
    /// For the application itself.
    Client,
    /// On behalf of the user's assertion. MSAL Node's worker does not have it.
    Obo,
    /// None: signs the user out. MSAL.NET's worker does not have it.
    Remove,
}

/// What a worker is to do: tokens for as many scopes as it says, or for one that all workers ask for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Order {
    /// How.
    pub flow: Flow,
    /// For which user; client credentials in the tenant of this number.
    pub user: u32,
    /// Stands in the scopes.
    pub round: usize,
    /// For how many scopes, one after the other.
    pub writes: usize,
    /// By one application object.
    pub shared: bool,
    /// With the first-level cache of Microsoft.Identity.Web.
    pub l1: bool,
    /// Milliseconds that are added to each way to the server.
    pub delay: u64,
    /// Whether all ask for the scope that `seed` has left a token for.
    pub same: bool,
    /// When to begin, in milliseconds since 1970.
    pub at: i64,
}

impl Order {
    /// One token for a scope of the worker's own, at once.
    pub fn new(flow: Flow, user: u32) -> Self {
        Self { flow, user, round: 0, writes: 1, shared: true, l1: false, delay: 0, same: false, at: 0 }
    }
}

/// What a worker has done.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    /// Tokens that were got.
    pub ok: usize,
    /// Calls that failed.
    pub errors: usize,
    /// How long each took, in milliseconds.
    pub ms: Vec<f64>,
}

/// The scope of a worker's write.
pub fn scope(worker: usize, round: usize, write: usize) -> String {
    format!("w{worker}r{round}x{write}/.default")
}

/// The home account id of a user.
pub fn home(user: u32) -> String {
    format!("{}.{TENANT}", object_id(user))
}

fn object_id(user: u32) -> String {
    format!("aaaaaaaa-0000-4000-8000-{user:012}")
}

/// The partition of a user, of the application in the tenant of this number, or of the user's assertion.
pub fn partition(flow: Flow, user: u32) -> PartitionKey {
    match flow {
        Flow::Silent | Flow::Remove => PartitionKey::user(&home(user)),
        Flow::Client => PartitionKey::app(CLIENT, Some(&tenant(user))),
        Flow::Obo => PartitionKey::obo(&assertion(user)),
    }
}

fn tenant(number: u32) -> String {
    format!("cccccccc-0000-4000-8000-{number:012}")
}

fn assertion(user: u32) -> String {
    format!("u{user}.incoming-assertion")
}

/// A cache over the server at this port.
#[derive(Debug)]
pub struct Opened {
    /// The cache.
    pub cache: blocking::PersistedTokenCache,
    /// The store, where it is of another library's layout.
    pub store: Option<RedisPeerStore>,
    layout: Layout,
    // Drives the connection.
    _runtime: Runtime,
}

impl Opened {
    /// Opens it. `Unavailable`: the operating system gives no threads.
    pub fn new(port: u16, layout: Layout) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| Error::io("cannot start the runtime", error))?;
        let builder = RedisStore::at(format!("redis://127.0.0.1:{port}"))
            .deadline(Duration::from_secs(30))
            .validation_deadline(Duration::from_secs(30))
            .runtime(runtime.handle().clone())
            .insecure_plaintext();
        let (cache, store) = match layout {
            Layout::Fields => (PersistedTokenCache::builder(builder.open()?), None),
            Layout::Idweb | Layout::Node => {
                let builder = if layout == Layout::Idweb { builder.idweb(INSTANCE) } else { builder.node("") };
                let store = builder.open()?;
                (PersistedTokenCache::builder(store.clone()), Some(store))
            }
        };
        Ok(Self { cache: blocking::PersistedTokenCache::new(cache.build()), store, layout, _runtime: runtime })
    }

    /// Leaves what signing in a user does: tokens for `api0/.default` and two other scopes, the refresh token where the other
    /// library keeps it. MSAL Node would store its own beside one that has MSAL.NET's key, and read either.
    pub fn seed(&self, user: u32) -> Result<()> {
        for api in 0..3 {
            // Long before the tokens of any order.
            let at = UnixMillis(now_millis() - 36_000_000);
            let response = response(Flow::Silent, user, &format!("api{api}/.default"), 0, at);
            self.cache.update(&partition(Flow::Silent, user), |tokens| tokens.sign_in(response))?.value?;
        }
        if self.layout == Layout::Node {
            let home = home(user);
            let query = RefreshTokenQuery::user(&home, CLIENT, HOST);
            let renamed = self.cache.update(&partition(Flow::Silent, user), |tokens| {
                for (id, token) in tokens.refresh_tokens(&query) {
                    tokens.remove(&id);
                    tokens.insert_entry(Entry {
                        id: EntryId::new(id.section(), format!("{}-", id.key())),
                        account: Some(AccountRef { home_account_id: home.as_str().into(), environment: HOST.into() }),
                        written_at: token.last_modification_time,
                        expires_on: None,
                        json: token.write(),
                    });
                }
            })?;
            drop(renamed);
        }
        Ok(())
    }

    /// The partitions that are there.
    pub fn partitions(&self) -> Result<Vec<PartitionKey>> {
        pollster::block_on(self.cache.as_async().store().partitions(None, usize::MAX))
    }

    /// What the partition holds.
    pub fn held(&self, flow: Flow, user: u32) -> Result<Held> {
        let of_user = home(user);
        self.cache.read(&partition(flow, user), |tokens| {
            let owners = tokens.access_tokens().filter_map(|(_, token)| token.home_account_id.clone());
            let query = RefreshTokenQuery::user(&of_user, CLIENT, HOST);
            let refresh_token =
                tokens.refresh_tokens(&query).first().map(|(_, token)| token.secret.expose().to_owned());
            Held {
                scopes: tokens.access_tokens().map(|(_, token)| token.target.to_string()).collect(),
                foreign: owners.filter(|owner| !owner.is_empty() && **owner != *of_user).count(),
                refresh_number: refresh_token.as_deref().and_then(number),
                accounts: tokens.accounts().len(),
            }
        })
    }
}

/// What a partition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The scopes of its access tokens.
    pub scopes: Vec<String>,
    /// How many of them are another user's.
    pub foreign: usize,
    /// Which response the refresh token came with.
    pub refresh_number: Option<u64>,
    /// How many users are signed in.
    pub accounts: usize,
}

impl Held {
    /// How many tokens of this round's writes of the worker are there.
    pub fn of_worker(&self, worker: usize, round: usize) -> usize {
        let start = format!("w{worker}r{round}x");
        self.scopes.iter().filter(|scope| scope.contains(&start)).count()
    }
}

/// Which response a refresh token came with, as all stubs write it.
fn number(refresh_token: &str) -> Option<u64> {
    refresh_token.split('.').nth(1)?.parse().ok()
}

/// A response of the token endpoint as all stubs give it, the tokens as large as real ones.
fn response(flow: Flow, user: u32, scope: &str, number: u64, at: UnixMillis) -> TokenResponse {
    let now = cache_core::UnixSeconds(wall_clock());
    let (home, local) = (home(user), object_id(user));
    let client_info = encoded(&json!({ "uid": local, "utid": TENANT }));
    let is_app = flow == Flow::Client;
    let access_token = AccessToken {
        home_account_id: (!is_app).then(|| home.as_str().into()),
        environment: HOST.into(),
        client_id: CLIENT.into(),
        realm: if is_app { tenant(user) } else { TENANT.to_owned() }.into(),
        target: scope.into(),
        secret: format!("{}.{}", encoded(&json!({ "user": user, "number": number })), "s".repeat(1_440)).into(),
        cached_at: Some(now),
        expires_on: Some(now.plus(3600)),
        assertion_hash: (flow == Flow::Obo).then(|| assertion_hash(&assertion(user)).into()),
        ..AccessToken::default()
    };
    let app_metadata =
        Some(AppMetadata { client_id: CLIENT.into(), environment: HOST.into(), ..AppMetadata::default() });
    if is_app {
        return TokenResponse { access_token: Some(access_token), app_metadata, ..TokenResponse::default() };
    }
    let claims = json!({
        "oid": local, "tid": TENANT, "sub": format!("sub{user}"), "preferred_username": format!("user{user}@contoso.test"),
        "name": format!("User {user}"), "iss": format!("https://{HOST}/{TENANT}/v2.0"), "aud": CLIENT, "ver": "2.0",
    });
    let refresh_token = (flow == Flow::Silent).then(|| RefreshToken {
        home_account_id: home.as_str().into(),
        environment: HOST.into(),
        client_id: CLIENT.into(),
        secret: format!("0.{number}.{user}.{}", "r".repeat(1_300)).into(),
        last_modification_time: Some(at),
        client_info: Some(client_info.as_str().into()),
        ..RefreshToken::default()
    });
    TokenResponse {
        access_token: Some(AccessToken { client_info: Some(client_info.as_str().into()), ..access_token }),
        refresh_token,
        id_token: Some(IdToken {
            home_account_id: home.as_str().into(),
            environment: HOST.into(),
            client_id: CLIENT.into(),
            realm: TENANT.into(),
            secret: format!("{}.{}.{}", encoded(&json!({ "alg": "none" })), encoded(&claims), "s".repeat(342)).into(),
            client_info: Some(client_info.as_str().into()),
            ..IdToken::default()
        }),
        account: Some(Account {
            home_account_id: home.as_str().into(),
            environment: HOST.into(),
            realm: TENANT.into(),
            local_account_id: local.as_str().into(),
            username: format!("user{user}@contoso.test").into(),
            authority_type: "MSSTS".into(),
            client_info: Some(client_info.as_str().into()),
            ..Account::default()
        }),
        app_metadata,
    }
}

/// The worker of this toolkit: answers orders until its input ends.
///
/// # Panics
/// If an answer is no JSON, which none is.
pub fn work(port: u16, worker: usize, layout: Layout) -> Result<()> {
    let opened = Opened::new(port, layout)?;
    let unavailable = |error: redis::RedisError| {
        Error::new(ErrorKind::Unavailable, "the numbers of responses cannot be had").with_source(error)
    };
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).map_err(unavailable)?;
    let mut numbers = client.get_connection().map_err(unavailable)?;
    let mut next = || redis::cmd("INCR").arg("seq").query::<u64>(&mut numbers).map_err(unavailable);
    let mut stdout = std::io::stdout();
    let lines = std::io::stdin().lines().map_while(std::result::Result::ok);
    for order in lines.filter_map(|line| serde_json::from_str::<Order>(&line).ok()) {
        wait_until(order.at);
        let mut answer = Answer { ok: 0, errors: 0, ms: Vec::new() };
        for write in 0..order.writes {
            let began = std::time::Instant::now();
            let scope = if order.same { "api0/.default".to_owned() } else { scope(worker, order.round, write) };
            match get(&opened.cache, &order, &scope, &mut next) {
                Ok(()) => {
                    answer.ok += 1;
                    answer.ms.push(began.elapsed().as_secs_f64() * 1e3);
                }
                Err(_) => answer.errors += 1,
            }
        }
        let line = serde_json::to_string(&answer).expect("plain data is JSON");
        writeln!(stdout, "{line}").map_err(|error| Error::io("cannot answer", error))?;
    }
    Ok(())
}

/// Gets a token as an application does: from the cache, else by a request.
fn get(
    cache: &blocking::PersistedTokenCache,
    order: &Order,
    scope: &str,
    next: &mut impl FnMut() -> Result<u64>,
) -> Result<()> {
    let (flow, user) = (order.flow, order.user);
    let (partition, home) = (partition(flow, user), home(user));
    let delay = || std::thread::sleep(Duration::from_millis(order.delay));
    if flow == Flow::Remove {
        let removed = cache.update(&partition, |tokens| tokens.remove_account(&home, HOST))?;
        let nobody = || Error::new(ErrorKind::InvalidInput, "nobody is signed in");
        return removed.value.then_some(()).ok_or_else(nobody);
    }
    let hash = assertion_hash(&assertion(user));
    let query = match flow {
        Flow::Client => AccessTokenQuery::app(CLIENT, scope),
        Flow::Obo => AccessTokenQuery::on_behalf_of(&hash, CLIENT, scope),
        Flow::Silent | Flow::Remove => AccessTokenQuery::user(&home, CLIENT, scope),
    };
    let realm = if flow == Flow::Client { tenant(user) } else { TENANT.to_owned() };
    let query = query.with_environment(HOST).with_realm(&realm);
    let found = cache.access_token(&partition, &query)?;
    delay();
    if found.is_some() {
        return Ok(());
    }
    let number = next()?;
    // In the order in which the stub has answered. Entries tell seconds, so that the responses are a second apart, long ago.
    let at = UnixMillis(order.at - 1_000_000 + 1_000 * i64::try_from(number).unwrap_or_default());
    let response = response(flow, user, scope, number, at);
    delay();
    let updated = cache.update(&partition, |tokens| match flow {
        Flow::Silent => {
            let present = tokens.refresh_tokens(&RefreshTokenQuery::user(&home, CLIENT, HOST));
            let present = present.first().and_then(|(_, token)| self::number(token.secret.expose()));
            // A response that came after this one was stored before it.
            let refresh_token = response.refresh_token.filter(|_| present.is_none_or(|present| present < number));
            tokens.insert_response(TokenResponse { refresh_token, ..response })
        }
        _ => tokens.sign_in(response).map(|()| true),
    })?;
    let is_signed_in = updated.value?;
    if !is_signed_in || updated.skipped.iter().any(|(_, skip)| *skip == Skip::GuardGone) {
        return Err(Error::new(ErrorKind::InvalidInput, "the user was signed out meanwhile"));
    }
    Ok(())
}

fn wait_until(at: i64) {
    let left = at - now_millis();
    std::thread::sleep(Duration::from_millis(u64::try_from(left).unwrap_or_default()));
}

/// The present time, in milliseconds since 1970.
fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
