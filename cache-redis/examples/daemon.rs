//! A daemon that works for many tenants: a partition for its tokens in each, and one request to the identity provider for a
//! token that is missing, however many nodes miss it at once.
//!
//!     REDIS_URL=redis://localhost cargo run -p cache-redis --example daemon -- 50
//!
//! Run it twice at once, and again within an hour: the second one asks for nothing.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache_core::schema::AccessToken;
use cache_core::{
    AccessTokenQuery, CacheStore as _, Change, Changes, ErrorKind, Lease, PartitionKey, PersistedTokenCache, Result,
    TokenCache, UnixSeconds,
};
use cache_crypto::{Envelope, Key};
use cache_redis::RedisStore;
use tokio::task::JoinSet;
use tracing::{info, warn};

const HOST: &str = "login.microsoftonline.com";
const CLIENT: &str = "00000000-0000-0000-0000-00000000000b";
const SCOPES: &str = "https://graph.microsoft.com/.default";
/// What nodes take before they ask the identity provider. It is of one partition, and so of one tenant.
const LEASE: &str = "refresh";

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://localhost".to_owned());
    let tenants = std::env::args().nth(1).map_or(Ok(50), |count| count.parse())?;

    // Every node has the same key: from the platform's secret store in a real daemon.
    let folder = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from).join(".token-cache-example");
    std::fs::create_dir_all(&folder)?;
    let protector = Arc::new(Envelope::with_key(Key::from_file_or_create(folder.join("daemon.key"))?));
    let daemon = Arc::new(Daemon::over(RedisStore::at(url).prefix("daemon").protector(protector).open()?));

    work(&daemon, tenants).await?;
    let stats = daemon.cache.stats();
    let (asked, hits, misses) = (daemon.asked(), stats.hits, stats.misses);
    writeln!(std::io::stdout(), "{tenants} tenants: {hits} hits, {misses} misses, {asked} requests")?;
    // What an outage has held up is lost with the process.
    daemon.store.flush(Duration::from_secs(10)).await?;
    Ok(())
}

/// Does something in all tenants at once, with a token of each.
pub(crate) async fn work(daemon: &Arc<Daemon>, tenants: usize) -> Result<()> {
    let mut working = JoinSet::new();
    for tenant in 0..tenants {
        let daemon = Arc::clone(daemon);
        working.spawn(async move { daemon.token(&format!("tenant-{tenant}")).await });
    }
    for done in working.join_all().await {
        // Here an API of the tenant is called.
        done?;
    }
    Ok(())
}

/// The tokens of one application in all of its tenants.
pub(crate) struct Daemon {
    store: RedisStore,
    cache: PersistedTokenCache,
    asked: AtomicUsize,
}

impl Daemon {
    pub(crate) fn over(store: RedisStore) -> Self {
        let cache = PersistedTokenCache::builder(store.clone()).build();
        Self { store, cache, asked: AtomicUsize::new(0) }
    }

    /// How often the identity provider was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// A token for this tenant that is good for five minutes more: from memory, from the store, or from the identity provider.
    ///
    /// While the store is out of reach, each node asks for itself: work goes on, and costs a request more.
    pub(crate) async fn token(&self, tenant: &str) -> Result<Arc<AccessToken>> {
        let partition = PartitionKey::app(CLIENT, Some(tenant));
        if let Some(token) = self.stored(&partition, tenant).await? {
            return Ok(token);
        }
        let lease = self.lease(&partition).await?;
        // Whoever had it before has brought a token.
        if lease.is_some()
            && let Some(token) = self.stored(&partition, tenant).await?
        {
            give_back(lease).await;
            return Ok(token);
        }
        let token = self.ask_the_identity_provider(tenant, self.cache.now()).await;
        let kept = self.keep(&partition, &token, lease.as_ref()).await;
        give_back(lease).await;
        kept?;
        Ok(Arc::new(token))
    }

    /// The token that the store holds. None, if that cannot be known.
    async fn stored(&self, partition: &PartitionKey, tenant: &str) -> Result<Option<Arc<AccessToken>>> {
        const FIVE_MINUTES: i64 = 300;
        let query = AccessTokenQuery::app(CLIENT, SCOPES).with_environment(HOST).with_realm(tenant);
        match self.cache.access_token(partition, &query.with_margin(FIVE_MINUTES)).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => Ok(None),
            found => found,
        }
    }

    /// The right to ask the identity provider for this tenant; `None`: there is nobody to agree with.
    async fn lease(&self, partition: &PartitionKey) -> Result<Option<Lease>> {
        /// Longer than the provider takes.
        const WAIT: Duration = Duration::from_secs(5);
        match self.store.lease(partition, LEASE, WAIT).await {
            Ok(lease) => Ok(Some(lease)),
            // Its holder hangs, or the store is out of reach.
            Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::Unavailable) => {
                info!(%error, "asking the identity provider without a lease");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Stores the token for all nodes, by a commit of its own, which needs nothing of the store before. Under the fence of the
    /// lease: a node that slept for longer than it held does not write over what its successor has brought.
    async fn keep(&self, partition: &PartitionKey, token: &AccessToken, lease: Option<&Lease>) -> Result<()> {
        let mut tokens = TokenCache::default();
        tokens.insert(token.clone())?;
        let changes = Changes::new(tokens.entries().map(Change::put).collect());
        let changes = match lease {
            Some(lease) => changes.with_fence(LEASE, lease.fence()),
            None => changes,
        };
        match self.store.commit(partition, &changes).await {
            Ok(committed) => {
                for (_, why) in committed.skipped {
                    info!(?why, "another node has stored a token meanwhile");
                }
                Ok(())
            }
            // The token is good all the same.
            Err(error) if error.is_queued() => {
                info!("a token is stored when the server is back");
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                warn!(%error, "a token is not stored, and requested again by whoever needs it");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Where a real daemon sends its client credentials.
    async fn ask_the_identity_provider(&self, tenant: &str, now: UnixSeconds) -> AccessToken {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
        AccessToken {
            environment: HOST.into(),
            client_id: CLIENT.into(),
            realm: tenant.into(),
            target: SCOPES.into(),
            secret: "the access token of the response".into(),
            cached_at: Some(now),
            expires_on: Some(now.plus(3600)),
            ..AccessToken::default()
        }
    }
}

/// Frees the lease for those who wait for it; what fails, its expiry does.
async fn give_back(lease: Option<Lease>) {
    if let Some(lease) = lease
        && let Err(error) = lease.release().await
    {
        info!(%error, "a lease is left to expire");
    }
}
