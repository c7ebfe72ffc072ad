//! What a hostile document may cost: memory and time grow with the length of a document and with nothing else, and no
//! value recurses.

/// The length of a document, in bytes; a million tokens take 3.3 GB.
pub(crate) const DOCUMENT: usize = u32::MAX as usize;

/// The length of one entity, in bytes. The largest tokens that are known take some ten kilobytes.
pub(crate) const ENTITY: usize = 16 << 20;

/// How deep values may be nested, as in serde_json.
pub(crate) const DEPTH: usize = 128;

/// Entries, repeated keys counted again and again: ten times those of a million tokens. Fewer in tests, which would take
/// minutes to reach it.
pub(crate) const ENTRIES: usize = if cfg!(test) { 1 << 12 } else { 1 << 24 };
