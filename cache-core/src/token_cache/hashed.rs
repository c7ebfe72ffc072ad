//! What entities are found by.

use super::index::{Hash, Hashing};
use crate::schema::varying::Varying;

/// What an entity is found by.
pub(super) trait Hashed: Varying {
    /// Calls `each` with every hash that a lookup of this entity may begin at.
    fn hashes(&self, hashing: &Hashing, each: impl FnMut(Hash));

    /// Whether the entity is an extended access token; none is in nearly every cache.
    fn is_extended(&self) -> bool {
        false
    }

    /// Whether nothing but owner, client, tenant, cloud and scopes tells the entity from others: it is a Bearer token,
    /// and bound to no assertion, key, resource or further component.
    fn is_ordinary(&self) -> bool {
        true
    }
}
