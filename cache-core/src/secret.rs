//! Bytes and text that are wiped from memory when their last owner drops them, and that never print themselves.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use zeroize::{Zeroize, Zeroizing};

/// Immutable bytes that may hold secrets: a document, an entry, a key file.
///
/// Cloning and [slicing](Blob::slice) share the memory; it is wiped when the last of them is dropped. `Debug` prints
/// the length only.
#[derive(Clone)]
pub struct Blob {
    bytes: Arc<Wiped>,
    start: usize,
    end: usize,
}

impl Blob {
    /// Takes the bytes over without copying them.
    pub fn new(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self { bytes: Arc::new(Wiped(bytes)), start: 0, end }
    }

    /// A copy of `bytes` in memory of its own.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec())
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.bytes.0[self.start..self.end]
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is no byte at all.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether both are the same part of the same memory: told at once, and equal for sure.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes) && (self.start, self.end) == (other.start, other.end)
    }

    /// A part that shares this memory. The whole is wiped when the last part is dropped.
    ///
    /// # Panics
    /// If the range does not lie within the blob.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len(), "slice outside the blob");
        Self { bytes: Arc::clone(&self.bytes), start: self.start + range.start, end: self.start + range.end }
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl From<Zeroizing<Vec<u8>>> for Blob {
    fn from(mut bytes: Zeroizing<Vec<u8>>) -> Self {
        Self::new(std::mem::take(&mut *bytes))
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Blob {}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.len())
    }
}

/// Secret text: an access token, a refresh token, an ID token.
///
/// Cloning shares the memory, which is wiped when the last owner is dropped. There is no `Display`; `Debug` prints
/// `Secret(..)`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Blob);

impl Default for Secret {
    /// The empty text.
    fn default() -> Self {
        static EMPTY: LazyLock<Blob> = LazyLock::new(|| Blob::new(Vec::new()));
        Self(EMPTY.clone())
    }
}

impl Secret {
    /// Takes the text over without copying it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Blob::new(text.into().into_bytes()))
    }

    /// The part `range` of `blob`, sharing its memory; `None` if it is not UTF-8.
    pub(crate) fn within(blob: &Blob, range: Range<usize>) -> Option<Self> {
        let part = blob.slice(range);
        std::str::from_utf8(part.expose()).is_ok().then_some(Self(part))
    }

    /// A copy of these bytes, which the caller knows to be UTF-8.
    pub(crate) fn of_utf8(text: &[u8]) -> Self {
        Self(Blob::copy_of(text))
    }

    /// The text itself. Every use of a secret goes through this call, so that it can be searched for.
    pub fn expose(&self) -> &str {
        // Checked when the secret was made; an impossible failure shows as an empty secret, which no server accepts.
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text as bytes, for where nothing asks whether it is UTF-8.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.expose()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A growing buffer for secret bytes: when it must grow it allocates anew, copies, and wipes the old memory.
#[derive(Default)]
pub struct SecretBuffer(Wiped);

impl SecretBuffer {
    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Wiped(Vec::with_capacity(capacity)))
    }

    /// Appends `bytes`.
    pub fn push(&mut self, bytes: &[u8]) {
        let Self(Wiped(written)) = self;
        if bytes.len() > written.capacity() - written.len() {
            self.grow(bytes.len().max(self.0.0.capacity()));
        }
        self.0.0.extend_from_slice(bytes);
    }

    /// Makes room for `more` bytes, so that appending them does not move what is there.
    pub fn reserve(&mut self, more: usize) {
        let Self(Wiped(written)) = self;
        if more > written.capacity() - written.len() {
            self.grow(more);
        }
    }

    /// Wipes what was written and starts anew in the same memory.
    pub fn clear(&mut self) {
        let Self(Wiped(written)) = self;
        written.as_mut_slice().zeroize();
        written.clear();
    }

    /// Appends `text` with its ASCII letters in lower case.
    pub(crate) fn push_lower_case(&mut self, text: &str) {
        let mut lower = [0; 64];
        for part in text.as_bytes().chunks(lower.len()) {
            let lower = &mut lower[..part.len()];
            lower.iter_mut().zip(part).for_each(|(lower, byte)| *lower = byte.to_ascii_lowercase());
            self.push(lower);
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let Self(Wiped(written)) = self;
        let mut larger = Vec::with_capacity((written.len() + more).max(64));
        larger.extend_from_slice(written);
        self.0 = Wiped(larger);
    }

    /// What was written so far.
    pub fn expose(&self) -> &[u8] {
        &self.0.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.0.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }

    /// Hands the bytes over without copying them.
    pub fn into_blob(mut self) -> Blob {
        Blob::new(std::mem::take(&mut self.0.0))
    }
}

impl std::io::Write for SecretBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for SecretBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBuffer({} bytes)", self.len())
    }
}

/// Bytes that are wiped when they are dropped. As a slice, which takes a fraction of the time that a vector takes to wipe
/// itself, element by element.
#[derive(Default)]
struct Wiped(Vec<u8>);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
        self.0.spare_capacity_mut().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_shares_and_bounds() {
        let blob = Blob::copy_of(b"0123456789");
        let part = blob.slice(2..6).slice(1..3);
        assert_eq!(part.expose(), b"34");
        assert_eq!(part.len(), 2);
    }

    #[test]
    fn nothing_prints_itself() {
        let shown = format!("{:?} {:?} {:?}", Blob::copy_of(b"planted"), Secret::from("planted"), {
            let mut buffer = SecretBuffer::default();
            buffer.push(b"planted");
            buffer
        });
        assert!(!shown.contains("planted"), "{shown}");
    }

    #[test]
    fn a_buffer_grows_and_keeps_its_content() {
        let mut buffer = SecretBuffer::default();
        for n in 0..1000u32 {
            buffer.push(&n.to_le_bytes());
        }
        assert_eq!(buffer.len(), 4000);
        assert_eq!(&buffer.into_blob().expose()[3996..], 999u32.to_le_bytes());
    }
}
