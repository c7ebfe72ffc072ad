//! Where another library keeps its documents, and where what we note about them stands.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cache_core::{Error, ErrorKind, PartitionKey, Peer, Profile, Result};

use crate::keys::Prefix;

/// Who else reads and writes the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Microsoft.Identity.Web over the Redis cache of .NET: a hash
    /// (dotnet/aspnetcore, src/Caching/StackExchangeRedis/src/RedisCache.cs).
    IdWeb,
    /// MSAL Node's `DistributedCachePlugin`: a string
    /// (AzureAD/microsoft-authentication-library-for-js, lib/msal-node/src/cache/distributed).
    Node,
}

impl Layout {
    /// The type of the documents' keys, as Redis names it.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::IdWeb => "hash",
            Self::Node => "string",
        }
    }

    /// The form that the library can load.
    pub(crate) fn profile(self) -> Profile {
        Profile::shared_with([match self {
            Self::IdWeb => Peer::DotNet,
            Self::Node => Peer::Node,
        }])
    }

    /// The library's key of the partition; `None`: it has none.
    fn key(self, partition: &PartitionKey) -> Option<String> {
        match self {
            Self::IdWeb => partition.net(),
            Self::Node => partition.node(),
        }
    }

    /// The partition that the library has this key for. Where keys of several kinds look the same, it is the user's.
    fn partition(self, key: &str) -> PartitionKey {
        let app = key.strip_suffix("_AppTokenCache").and_then(|app| {
            let (client_id, rest) = app.split_once('_')?;
            let (tenant, hash) = rest.split_once('_').map_or((rest, None), |(tenant, hash)| (tenant, Some(hash)));
            let tenant = Some(tenant).filter(|tenant| !tenant.is_empty());
            let PartitionKey::App(app) = PartitionKey::app(client_id, tenant) else { return None };
            Some(PartitionKey::App(match hash {
                Some(hash) => app.with_extended_key_hash(hash),
                None => app,
            }))
        });
        let is_same = |partition: &PartitionKey| self.key(partition).as_deref() == Some(key);
        if let Some(app) = app.filter(|_| self == Self::IdWeb).filter(is_same) {
            return app;
        }
        let is_hash = || key.len() == 43 && URL_SAFE_NO_PAD.decode(key).is_ok();
        match key {
            _ if key.contains('.') => PartitionKey::user(key),
            _ if is_hash() => PartitionKey::Obo(key.into()),
            _ => PartitionKey::custom(key),
        }
    }
}

/// The names of keys.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) layout: Layout,
    /// What the library's keys begin with.
    pub(crate) instance: String,
    /// What ours begin with.
    pub(crate) ours: Prefix,
    /// Whether keys that a script uses must be in one slot.
    pub(crate) is_cluster: bool,
}

/// Where a partition is.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) document: Vec<u8>,
    /// A hash of ours: 'j' the journal, 'd' the digest of the document that we wrote last, 'n' its stamp, 'r' changes with it.
    pub(crate) beside: Vec<u8>,
}

impl Names {
    /// `InvalidInput`: the library has no key for such a partition, or there is no place beside it.
    pub(crate) fn keys(&self, partition: &PartitionKey) -> Result<Keys> {
        let invalid = |message| Error::new(ErrorKind::InvalidInput, message);
        let key = self.layout.key(partition).ok_or_else(|| {
            invalid(
                "MSAL libraries share no one cache in Redis: give the partition of a user, an application or an assertion",
            )
        })?;
        let document = [self.instance.as_bytes(), key.as_bytes()].concat();
        if self.ours.is_beside(&document) {
            return Err(invalid("this partition's key is one of our own notes' in Redis; choose another prefix"));
        }
        let [tagged, plain] = self.ours.beside(&document);
        let is_together = |beside: &[u8]| !self.is_cluster || slot_part(beside) == slot_part(&document);
        let beside = [tagged, plain].into_iter().find(|beside| is_together(beside));
        let beside = beside.ok_or_else(|| {
            invalid("in a cluster nothing can be kept beside a key with such braces; choose another partition key")
        })?;
        Ok(Keys { document, beside })
    }

    /// A lease, beside the document.
    pub(crate) fn lease(keys: &Keys, name: &str) -> Vec<u8> {
        [&keys.beside, &b":lease:"[..], name.as_bytes()].concat()
    }

    /// The partition whose document has this key; `None`: it is no document's.
    pub(crate) fn partition(&self, document: &[u8]) -> Option<PartitionKey> {
        if self.ours.is_beside(document) {
            return None;
        }
        let key = std::str::from_utf8(document.strip_prefix(self.instance.as_bytes())?).ok()?;
        Some(self.layout.partition(key))
    }

    /// What the keys of all documents match.
    pub(crate) fn pattern(&self) -> Vec<u8> {
        let mut pattern = Vec::with_capacity(self.instance.len() + 1);
        for byte in self.instance.bytes() {
            if b"*?[]\\^-".contains(&byte) {
                pattern.push(b'\\');
            }
            pattern.push(byte);
        }
        pattern.push(b'*');
        pattern
    }
}

/// The part of a key that chooses its slot in a cluster (redis/redis, src/cluster.c, `keyHashSlot`).
fn slot_part(key: &[u8]) -> &[u8] {
    let tag = || {
        let from = key.iter().position(|byte| *byte == b'{')? + 1;
        let length = key[from..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &key[from..from + length])
    };
    tag().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(layout: Layout, instance: &str) -> Names {
        let ours = Prefix::new("notes").expect("a prefix");
        Names { layout, instance: instance.to_owned(), ours, is_cluster: true }
    }

    #[test]
    fn keys_are_those_of_the_libraries() {
        let (net, node) = (names(Layout::IdWeb, "web:"), names(Layout::Node, ""));
        let document = |names: &Names, partition: &PartitionKey| {
            let keys = names.keys(partition).expect("a key");
            String::from_utf8(keys.document).expect("text")
        };
        let hash = "A".repeat(43);
        for (partition, of_net, of_node) in [
            (PartitionKey::user("uid.utid"), "web:uid.utid", "uid.utid"),
            (PartitionKey::app("client", Some("tenant")), "web:client_tenant_AppTokenCache", "client.tenant"),
            (PartitionKey::Obo((&*hash).into()), &*format!("web:{hash}"), &*hash),
            (PartitionKey::long_running("session"), "web:session", "session"),
        ] {
            assert_eq!(document(&net, &partition), of_net);
            assert_eq!(document(&node, &partition), of_node);
        }
        for names in [net, node] {
            assert_eq!(names.keys(&PartitionKey::Shared).expect_err("no key").kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn every_key_comes_back_as_a_partition_of_that_key() {
        for names in [names(Layout::IdWeb, "web:"), names(Layout::Node, "")] {
            let PartitionKey::App(app) = PartitionKey::app("client", Some("tenant")) else { unreachable!("an app's") };
            for partition in [
                PartitionKey::user("uid.utid"),
                PartitionKey::App(app.clone()),
                app.with_pop_key_id("k_id").with_extended_key_hash("ha_sh").into(),
                PartitionKey::app("client", None),
                PartitionKey::obo("assertion"),
                PartitionKey::long_running("session"),
                PartitionKey::custom("_AppTokenCache"),
            ] {
                let keys = names.keys(&partition).expect("a key");
                let back = names.partition(&keys.document).expect("a document");
                assert_eq!(names.keys(&back).expect("a key").document, keys.document, "{partition:?}");
                assert_eq!(names.partition(&keys.beside), None);
            }
        }
        let app = PartitionKey::app("client", Some("tenant"));
        assert_eq!(names(Layout::IdWeb, "web:").partition(b"web:client_tenant_AppTokenCache"), Some(app));
    }

    #[test]
    fn what_stands_beside_is_in_the_same_slot() {
        for (instance, key) in [("web:", "uid.utid"), ("{web}:", "uid.utid"), ("", "a{b}c"), ("", "a{b")] {
            let keys = names(Layout::IdWeb, instance).keys(&PartitionKey::custom(key)).expect("a key");
            assert_eq!(slot_part(&keys.beside), slot_part(&keys.document), "{instance}{key}");
        }
        let key = PartitionKey::custom("a}b");
        assert_eq!(names(Layout::IdWeb, "").keys(&key).expect_err("no place").kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_pattern_means_nothing_but_itself() {
        assert_eq!(names(Layout::IdWeb, "a*[b]").pattern(), b"a\\*\\[b\\]*");
    }
}
