//! A token library that keeps a cache of its own and only knows whole documents: it is told before and after each
//! access, as MSAL's notifications do, and its updates merge with those of other processes all the same.
//!
//!     cargo run -p cache-core --example own_cache

use std::io::Write as _;

use cache_core::{AccessContext, MemoryStore, PartitionKey, PersistedTokenCache};
use serde_json::{Value, json};

/// The library's own memory: here nothing but the document.
struct OwnCache {
    memory: Value,
}

impl OwnCache {
    fn deserialize(&mut self, document: Option<&[u8]>) -> serde_json::Result<()> {
        // Replacing, not overlaying: what was removed elsewhere must go here too.
        self.memory = document.map_or_else(|| Ok(json!({})), serde_json::from_slice)?;
        Ok(())
    }

    fn serialize(&self) -> Vec<u8> {
        self.memory.to_string().into_bytes()
    }

    fn add_app_token(&mut self, scope: &str) {
        let key = format!("-login.windows.net-accesstoken-client-tenant-{scope}");
        self.memory["AccessToken"][key] = json!({
            "home_account_id": "", "environment": "login.windows.net", "credential_type": "AccessToken",
            "client_id": "client", "secret": "an access token", "realm": "tenant", "target": scope,
            "cached_at": "1800000000", "expires_on": "1800003600", "token_type": "Bearer",
        });
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Any store will do; with a file, other processes share it.
    let cache = PersistedTokenCache::builder(MemoryStore::new()).build();
    let partition = PartitionKey::app("client", Some("tenant"));
    let (mut one, mut other) = (OwnCache { memory: json!({}) }, OwnCache { memory: json!({}) });

    pollster::block_on(async {
        // Two accesses overlap, as those of two processes do.
        let first = cache.before_access(&AccessContext::new(&partition)).await?;
        let second = cache.before_access(&AccessContext::new(&partition)).await?;

        one.deserialize(first.document())?;
        one.add_app_token("api://one/.default");
        first.after_access(Some(&one.serialize())).await?;

        other.deserialize(second.document())?;
        other.add_app_token("api://other/.default");
        second.after_access(Some(&other.serialize())).await?;

        // Neither update is lost, and an access that changes nothing writes nothing.
        let third = cache.before_access(&AccessContext::new(&partition)).await?;
        one.deserialize(third.document())?;
        third.after_access(None).await?;
        let count = one.memory["AccessToken"].as_object().map_or(0, serde_json::Map::len);
        writeln!(std::io::stdout(), "{count} access tokens")?;
        assert_eq!(count, 2);
        Ok(())
    })
}
