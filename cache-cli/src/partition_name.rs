//! What partitions are called in reports.

use std::fmt::{self, Write as _};

use cache_core::PartitionKey;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// What a partition is called: its kind, and whose it is as far as that may be shown.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PartitionName {
    kind: &'static str,
    /// The beginning of the key's hash: tells the partitions of a store apart.
    id: String,
    /// Of users and applications. Other keys may be capabilities, as those of long-running on-behalf-of processes are.
    name: Option<String>,
}

impl PartitionName {
    /// The name of a partition.
    pub(crate) fn of(partition: &PartitionKey) -> Self {
        let name = match partition {
            PartitionKey::User(_) | PartitionKey::App(_) => partition.net(),
            _ => None,
        };
        let mut id = String::new();
        for byte in &Sha256::digest(partition.to_bytes())[..4] {
            // Writing into a String cannot fail.
            let _ = write!(id, "{byte:02x}");
        }
        Self { kind: partition.kind(), id, name }
    }
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.kind) {
            (Some(name), kind) => write!(f, "{kind} {name}"),
            (None, "shared") => f.write_str("shared"),
            (None, kind) => write!(f, "{kind} {}", self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_a_capability_is_not_shown() {
        for key in
            [PartitionKey::long_running("planted"), PartitionKey::obo("planted"), PartitionKey::custom("planted")]
        {
            let name = PartitionName::of(&key);
            assert_eq!(name.to_string(), format!("{} {}", key.kind(), name.id));
            assert_eq!((name.id.len(), name.name), (8, None));
        }
        assert_eq!(PartitionName::of(&PartitionKey::Shared).to_string(), "shared");
        assert_eq!(PartitionName::of(&PartitionKey::user("uid.utid")).to_string(), "user uid.utid");
        let app = PartitionName::of(&PartitionKey::app("client", Some("tenant")));
        assert_eq!(app.to_string(), "app client_tenant_AppTokenCache");
    }
}
