//! The names of partitions, beside their tags: so that whoever has the key can list them.

use cache_core::{Blob, Context, PartitionKey, Protector, Result};
use zeroize::Zeroizing;

use crate::NAME;

/// The partition's key as its row keeps it.
pub(crate) fn seal_name(protector: Option<&dyn Protector>, partition: &PartitionKey) -> Result<Vec<u8>> {
    let name = Zeroizing::new(partition.to_bytes());
    match protector {
        None => Ok(name.to_vec()),
        Some(protector) => protector.protect(&name, &Context::name(NAME)),
    }
}

/// The partition whose row keeps this name.
pub(crate) fn open_name(protector: Option<&dyn Protector>, name: &[u8]) -> Result<PartitionKey> {
    let name = match protector {
        None => Blob::copy_of(name),
        Some(protector) => protector.unprotect(name, &Context::name(NAME))?,
    };
    PartitionKey::from_bytes(name.expose())
}
