//! A cache over the server, to be filled before the workers come, and to see what they have left.

use std::time::Duration;

use cache_core::schema::Entity as _;
use cache_core::{
    AccountRef, Entry, EntryId, Error, PartitionKey, PersistedTokenCache, RefreshTokenQuery, Result, UnixMillis,
    blocking,
};
use cache_redis::{RedisPeerStore, RedisStore};
use tokio::runtime::Runtime;

use super::responses::{number, response};
use super::{CLIENT, Flow, HOST, INSTANCE, Layout, home, now_millis, partition};

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
