//! How a store of another library's documents is set up.

use std::fmt;
use std::sync::Arc;

use cache_core::{Error, ErrorKind, Profile, Result, SystemClock};

use super::layout::{Layout, Names};
use super::{RedisDocuments, RedisPeerStore};
use crate::NAME;
use crate::config::{Opened, RedisStoreBuilder};
use crate::inner::Inner;

impl RedisStoreBuilder {
    /// The partitions that Microsoft.Identity.Web keeps by the Redis cache of .NET, shared with it. `instance_name` is the
    /// `InstanceName` of the `RedisCacheOptions` there, empty if none is set.
    ///
    /// That application must set `DisableL1Cache`, and must leave `Encrypt` off. See the [crate's page](crate#other-libraries).
    pub fn idweb(self, instance_name: impl Into<String>) -> RedisPeerStoreBuilder {
        RedisPeerStoreBuilder {
            store: self,
            layout: Layout::IdWeb,
            profile: Layout::IdWeb.profile(),
            instance: instance_name.into(),
        }
    }

    /// The partitions that MSAL Node keeps by its `DistributedCachePlugin`, shared with it. `key_prefix` is what the application
    /// puts before the keys in its `ICacheClient`, empty if nothing.
    ///
    /// A user's partition is that of the home account id, as `extractKey` of the samples answers it. For keys of the application's
    /// own, use [`PartitionKey::custom`](cache_core::PartitionKey::custom). See the [crate's page](crate#other-libraries).
    pub fn node(self, key_prefix: impl Into<String>) -> RedisPeerStoreBuilder {
        RedisPeerStoreBuilder {
            store: self,
            layout: Layout::Node,
            profile: Layout::Node.profile(),
            instance: key_prefix.into(),
        }
    }
}

/// Sets up a [`RedisPeerStore`]; begin with [`RedisStoreBuilder::idweb`] or [`node`](RedisStoreBuilder::node), after everything else
/// is said: the servers, how they are reached, and [`insecure_plaintext`](RedisStoreBuilder::insecure_plaintext).
#[derive(Clone)]
#[must_use = "a builder does nothing until the store is opened"]
pub struct RedisPeerStoreBuilder {
    store: RedisStoreBuilder,
    layout: Layout,
    instance: String,
    profile: Profile,
}

impl RedisPeerStoreBuilder {
    /// The form that documents are written in, in the place of the one for this library alone: where others write them too.
    pub fn profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// The store. Connects to nothing yet.
    ///
    /// `InvalidInput`: as [`RedisStoreBuilder::open`]; or a protector was given, which the other library does not have.
    pub fn open(self) -> Result<RedisPeerStore> {
        let invalid = |message: &'static str| Error::new(ErrorKind::InvalidInput, message).in_store(NAME);
        let Opened { link, watch, settings } = self.store.opened()?;
        if settings.protection.is_protected() {
            return Err(invalid(
                "the other library cannot open what a protector has sealed; share plaintext by `insecure_plaintext`, or \
                 keep a store of your own",
            ));
        }
        if settings.most_entries.is_some() {
            return Err(invalid("`most_entries` is not for partitions that another library writes too; leave it out"));
        }
        let names = Names {
            layout: self.layout,
            instance: self.instance,
            ours: settings.prefix.clone(),
            is_cluster: link.is_cluster(),
        };
        let clock = settings.clock.clone().unwrap_or_else(|| Arc::new(SystemClock));
        Ok(RedisPeerStore::new(RedisDocuments::new(Inner::new(link, watch, settings), names), self.profile, clock))
    }
}

impl fmt::Debug for RedisPeerStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPeerStoreBuilder")
            .field("store", &self.store)
            .field("layout", &self.layout)
            .field("instance", &self.instance)
            .field("profile", &self.profile)
            .finish()
    }
}
