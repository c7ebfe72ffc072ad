//! How a Redis store is set up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock, Error, ErrorKind, Protection, Protector, Result};
use tokio::runtime::Handle;

use crate::NAME;
use crate::access::Access;
use crate::keys::Prefix;
use crate::link::{Deadlines, Link};
use crate::place::Place;
use crate::queue::Limits;
use crate::settings::Settings;
use crate::store::RedisStore;
use crate::watch::Watch;

impl RedisStore {
    /// The partitions in the server `url`: `redis://host:6379/0`, `rediss://host` with TLS, `redis+unix:///path`. Nothing is
    /// connected yet.
    ///
    /// A password in the URL is taken; [`credentials`](RedisStoreBuilder::credentials) keeps it out of there.
    pub fn at(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Place::One(url.into()))
    }

    /// The partitions in a cluster, some of whose nodes are these.
    pub fn cluster(urls: impl IntoIterator<Item = impl Into<String>>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Place::Cluster(urls.into_iter().map(Into::into).collect()))
    }

    /// The partitions in the primary that sentinels at these addresses know by this name; after a fail-over, in the next one.
    ///
    /// [Credentials](RedisStoreBuilder::credentials) are the primary's; those of the sentinels, which are the same for all,
    /// stand in the first URL, with the primary's database. If that is `rediss://`, the primary is spoken to with TLS, too.
    pub fn sentinel(urls: impl IntoIterator<Item = impl Into<String>>, name: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Place::Sentinel(urls.into_iter().map(Into::into).collect(), name.into()))
    }
}

/// Sets up a [`RedisStore`]; begin with [`RedisStore::at`], [`cluster`](RedisStore::cluster) or
/// [`sentinel`](RedisStore::sentinel).
///
/// Protection has no default: choose [`protector`](Self::protector) or [`insecure_plaintext`](Self::insecure_plaintext).
#[derive(Clone)]
#[must_use = "a builder does nothing until the store is opened"]
pub struct RedisStoreBuilder {
    place: Place,
    access: Access,
    prefix: String,
    protection: Option<Protection>,
    deadlines: Deadlines,
    kept_for: Duration,
    most_entries: Option<usize>,
    queue: Limits,
    clock: Option<Arc<dyn Clock>>,
    runtime: Option<Handle>,
}

impl RedisStoreBuilder {
    fn new(place: Place) -> Self {
        Self {
            place,
            access: Access::default(),
            prefix: "token-cache".to_owned(),
            protection: None,
            deadlines: Deadlines { request: Duration::from_secs(1), validation: Duration::from_millis(250) },
            kept_for: Duration::from_secs(90 * 24 * 3600),
            most_entries: None,
            queue: Limits::default(),
            clock: None,
            runtime: None,
        }
    }

    /// The password, and the user it belongs to if it is not the default one.
    pub fn credentials(mut self, user: Option<&str>, password: impl Into<String>) -> Self {
        self.access.credentials = Some((user.map(str::to_owned), password.into()));
        self
    }

    /// The certificate, in PEM, that the servers' ones are signed by, in the place of those that the operating system trusts.
    /// For `rediss://` addresses.
    #[cfg(feature = "tls")]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates().root_cert = Some(pem.into());
        self
    }

    /// The certificate that is shown to the servers, and its key, both in PEM. For `rediss://` addresses.
    #[cfg(feature = "tls")]
    pub fn client_certificate(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let (client_cert, client_key) = (certificate.into(), key.into());
        self.certificates().client_tls = Some(redis::ClientTlsConfig { client_cert, client_key });
        self
    }

    /// What the names of all keys begin with; `token-cache` if nothing is said. Stores with different prefixes share nothing.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Protects each entry, and the name of each partition, with `protector`. Replaces an earlier choice.
    pub fn protector(mut self, protector: Arc<dyn Protector>) -> Self {
        self.protection = Some(Protection::Protected(protector));
        self
    }

    /// Keeps the entries readable to whoever can read the server's memory, its backups or its traffic. Replaces an earlier
    /// choice.
    pub fn insecure_plaintext(mut self) -> Self {
        self.protection = Some(Protection::Plaintext);
        self
    }

    /// How long the server may take to answer, connecting included, before a request fails with `Unavailable`; 1 s if nothing
    /// is said.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadlines.request = deadline;
        self
    }

    /// The same for a [stamp](cache_core::CacheStore::stamp), which is asked for to learn whether a copy in memory is still right;
    /// 250 ms if nothing is said. After it, a [`PersistedTokenCache`](cache_core::PersistedTokenCache) whose
    /// [freshness](cache_core::Freshness) has a bound goes on with the copy.
    pub fn validation_deadline(mut self, deadline: Duration) -> Self {
        self.deadlines.validation = deadline;
        self
    }

    /// How long refresh tokens are kept after they were last written; 90 days if nothing is said, ten years at most. As long as they
    /// live, where the identity provider sends no new one with each refresh; the same on all nodes. Other entries
    /// that do not say when they expire stay as long as their partition, which goes when all that it holds has expired: so do
    /// accounts, and sections of unknown names, for which it stays as long as for a refresh token.
    pub fn kept_for(mut self, duration: Duration) -> Self {
        /// The server refuses times beyond its numbers.
        const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
        self.kept_for = duration.min(LONGEST);
        self
    }

    /// How many entries a partition may have before a commit evicts access tokens, those first that expire first; as many
    /// as there are if nothing is said. What the commit itself writes stays, and entries that do not say when they expire
    /// always do: a partition of refresh tokens alone may grow beyond it.
    pub fn most_entries(mut self, entries: usize) -> Self {
        self.most_entries = Some(entries);
        self
    }

    /// How much is kept of commits that fail since the server is away, to [write it later](crate#outages): so many changes, and
    /// so many bytes of them; 10,000 and 16 MiB if nothing is said. Zero of either: nothing is kept. Of partitions that another
    /// library writes too ([`idweb`](Self::idweb), [`node`](Self::node)) nothing ever is.
    pub fn queue(mut self, changes: usize, bytes: usize) -> Self {
        self.queue = Limits { changes, bytes };
        self
    }

    /// The clock that merging takes no entry to be newer than. Without it: the server's, which all who share the store agree
    /// upon.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The tokio runtime that all work runs on; without it, the one that is current where the store is called, with its time
    /// and network drivers; that one must go on running, since it drives the connection for all others. For programs that block,
    /// or that have several runtimes: with a runtime of its own the store can be called from anywhere.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    #[cfg(feature = "tls")]
    fn certificates(&mut self) -> &mut redis::TlsCertificates {
        self.access.certificates.get_or_insert(redis::TlsCertificates { client_tls: None, root_cert: None })
    }

    /// The store. Connects to nothing yet.
    ///
    /// `InvalidInput`: no protection was chosen, or no server has such an address, or the prefix cannot be one.
    pub fn open(self) -> Result<RedisStore> {
        self.opened().map(|Opened { link, watch, settings }| RedisStore::new(link, watch, settings))
    }

    pub(crate) fn opened(self) -> Result<Opened> {
        let named = |error: Error| error.in_store(NAME);
        let Some(protection) = self.protection.clone() else {
            let message = "no protection was chosen: call `protector` with a key to encrypt the entries, or \
                           `insecure_plaintext` to leave them readable to whoever can read the server";
            return Err(named(Error::new(ErrorKind::InvalidInput, message)));
        };
        let prefix = Prefix::new(&self.prefix).map_err(named)?;
        let servers = self.place.servers(&self.access, self.deadlines.request).map_err(named)?;
        let primaries = self.place.primaries(&self.access).map_err(named)?;
        let Self { deadlines, kept_for, most_entries, queue, clock, runtime, .. } = self;
        Ok(Opened {
            link: Link::new(servers, deadlines),
            watch: Watch::new(primaries, prefix.clone(), deadlines.request),
            settings: Settings { prefix, protection, kept_for, most_entries, queue, clock, runtime },
        })
    }
}

/// What all stores are made of.
pub(crate) struct Opened {
    pub(crate) link: Link,
    pub(crate) watch: Watch,
    pub(crate) settings: Settings,
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // URLs may hold passwords.
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.prefix)
            .field("protection", &self.protection)
            .field("deadlines", &self.deadlines)
            .finish_non_exhaustive()
    }
}
