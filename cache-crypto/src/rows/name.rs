//! The names of partitions, beside their tags: so that whoever has the key can list them.

use cache_core::{Blob, Context, PartitionKey, Protector, Result};
use zeroize::Zeroizing;

/// The partition's key as a store keeps it: sealed by the protector, or open without one. Errors are the protector's.
pub fn seal_name(store: &'static str, protector: Option<&dyn Protector>, partition: &PartitionKey) -> Result<Vec<u8>> {
    let name = Zeroizing::new(partition.to_bytes());
    match protector {
        None => Ok(name.to_vec()),
        Some(protector) => protector.protect(&name, &Context::name(store)),
    }
}

/// The partition whose name this is. `Corrupt`: nobody's. Else the protector's errors.
pub fn open_name(store: &'static str, protector: Option<&dyn Protector>, name: &[u8]) -> Result<PartitionKey> {
    let name = match protector {
        None => Blob::copy_of(name),
        Some(protector) => protector.unprotect(name, &Context::name(store))?,
    };
    PartitionKey::from_bytes(name.expose())
}
