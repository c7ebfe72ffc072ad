//! Walks through a sound document at the speed of memory: the rule, since damage is rare.

use std::ops::Range;

use super::limits;
use super::scan::value_end;
use crate::json::plain_length;

/// A place in a document that is sound so far. Every step answers `None` where the document is damaged, or merely
/// unusual: escapes in a key, a comment, a trailing comma. The lenient way tells which.
pub(crate) struct Sound<'a> {
    bytes: &'a [u8],
    at: usize,
    entries: usize,
}

/// What follows in an object.
pub(crate) enum Next<'a> {
    /// A member of this name; its value is next.
    Member(&'a str),
    /// The object's end.
    End,
}

impl<'a> Sound<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, entries: 0 }
    }

    /// Steps into the object that begins here.
    pub(crate) fn enter(&mut self) -> Option<()> {
        self.white_space();
        self.step(b'{').filter(|()| self.bytes.len() <= limits::DOCUMENT)
    }

    /// Steps to the value of the next member, or out of the object that ends here.
    pub(crate) fn member(&mut self, first: bool) -> Option<Next<'a>> {
        self.white_space();
        match (self.bytes.get(self.at)?, first) {
            (b'}', _) => {
                self.at += 1;
                return Some(Next::End);
            }
            (b',', false) => {
                self.at += 1;
                self.white_space();
            }
            (b'"', true) => {}
            _ => return None,
        }
        self.step(b'"')?;
        let length = plain_length(&self.bytes[self.at..])?;
        let name = std::str::from_utf8(&self.bytes[self.at..self.at + length]).ok()?;
        self.at += length + 1;
        self.white_space();
        self.step(b':')?;
        self.white_space();
        Some(Next::Member(name))
    }

    /// What follows, as far as an entity may reach; counts the entity.
    pub(crate) fn entity_and_more(&mut self) -> Option<&'a [u8]> {
        self.entries += 1;
        let rest = &self.bytes[self.at..];
        (self.entries <= limits::ENTRIES).then(|| &rest[..rest.len().min(limits::ENTITY)])
    }

    /// Steps over a value of this length that the caller knows to be sound.
    pub(crate) fn skip(&mut self, length: usize) {
        self.at += length;
    }

    /// Steps over the entity that begins here, and answers where it is.
    pub(crate) fn entity(&mut self) -> Option<Range<usize>> {
        self.value().filter(|range| range.len() <= limits::ENTITY)
    }

    /// Steps over the value that begins here, and answers where it is.
    pub(crate) fn value(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        // Nearly every entity is one of these.
        if self.flat_object().is_some() {
            return Some(start..self.at);
        }
        self.at = start;
        self.any_value()
    }

    /// Steps over an object of nothing but plain texts, numbers and the like, without looking at anything twice.
    fn flat_object(&mut self) -> Option<()> {
        self.step(b'{')?;
        let mut first = true;
        while let Next::Member(_) = self.member(first)? {
            first = false;
            match self.bytes.get(self.at)? {
                b'"' => self.at += plain_length(&self.bytes[self.at + 1..])? + 2,
                b'{' | b'[' => return None,
                _ => {
                    self.any_value()?;
                }
            }
        }
        Some(())
    }

    fn any_value(&mut self) -> Option<Range<usize>> {
        let range = self.at..value_end(self.bytes, self.at).ok()?;
        serde_json::from_slice::<serde::de::IgnoredAny>(&self.bytes[range.clone()]).ok()?;
        self.at = range.end;
        Some(range)
    }

    /// The bytes at these places.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &'a [u8] {
        &self.bytes[range]
    }

    /// Whether nothing but white space follows.
    pub(crate) fn ends(mut self) -> bool {
        self.white_space();
        self.at == self.bytes.len()
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn step(&mut self, byte: u8) -> Option<()> {
        (self.bytes.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }
}
