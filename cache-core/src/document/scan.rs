//! Splits a JSON object into its members without parsing their values: exact on sound JSON, and on damaged JSON up to
//! the damage. Steps over comments and trailing commas, needs no UTF-8, and does not recurse.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2, memmem};

use super::limits;
use crate::secret::Blob;

/// What ended a split early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no object at this place.
    NotAnObject,
    /// The object does not end, or something stands where a member or a comma should.
    Damaged,
    /// A value is nested deeper than [`limits::DEPTH`].
    TooDeep,
    /// The document or an entity is longer than [`limits`] let it be.
    TooLarge,
    /// There are more entries than [`limits::ENTRIES`].
    TooMany,
}

/// Where a member's name, quotes included, and its value are.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

/// The members of the object that begins at `start`, white space before it included.
pub(super) fn members(bytes: &[u8], start: usize) -> Split<'_> {
    let at = skip_void(bytes, start);
    match bytes.get(at) {
        Some(b'{') => Split { bytes, at: at + 1, state: State::Member, open: None },
        _ => Split { bytes, at, state: State::Failed(Fault::NotAnObject), open: None },
    }
}

pub(super) struct Split<'a> {
    bytes: &'a [u8],
    at: usize,
    state: State,
    /// A member whose value does not end.
    open: Option<Span>,
}

#[derive(Clone, Copy)]
enum State {
    /// Before a member or the end.
    Member,
    /// After a member: a comma or the end.
    Comma,
    Ended,
    Failed(Fault),
}

impl Split<'_> {
    /// What ended the split early; to be asked when there are no more members.
    pub(super) fn fault(&self) -> Option<Fault> {
        match self.state {
            State::Failed(fault) => Some(fault),
            State::Member | State::Comma | State::Ended => None,
        }
    }

    /// The member that the tear goes through, with what there is of its value.
    pub(super) fn open(&self) -> Option<&Span> {
        self.open.as_ref()
    }

    /// Whether something other than white space follows the object.
    pub(super) fn trailing(&self) -> bool {
        skip_void(self.bytes, self.at) < self.bytes.len()
    }

    fn next_member(&mut self) -> Result<Option<Span>, Fault> {
        let bytes = self.bytes;
        let mut at = skip_void(bytes, self.at);
        if let (State::Comma, Some(b',')) = (self.state, bytes.get(at)) {
            at = skip_void(bytes, at + 1);
            self.state = State::Member;
        }
        let key = match bytes.get(at) {
            Some(b'}') => {
                self.at = at + 1;
                return Ok(None);
            }
            Some(b'"') if matches!(self.state, State::Member) => at..string_end(bytes, at).ok_or(Fault::Damaged)?,
            _ => return Err(Fault::Damaged),
        };
        at = skip_void(bytes, key.end);
        if bytes.get(at) != Some(&b':') {
            return Err(Fault::Damaged);
        }
        let start = skip_void(bytes, at + 1);
        let end = value_end(bytes, start);
        // Only of these can be told that they are complete when nothing follows: `12` may be the half of `123`.
        let closed = matches!(bytes.get(start), Some(b'{' | b'[' | b'"'));
        match end {
            Ok(end) if closed || skip_void(bytes, end) < bytes.len() => {
                self.at = end;
                self.state = State::Comma;
                Ok(Some(Span { key, value: start..end }))
            }
            Ok(_) | Err(Fault::Damaged) => {
                self.open = Some(Span { key, value: start..bytes.len() });
                Err(Fault::Damaged)
            }
            Err(fault) => Err(fault),
        }
    }
}

impl Iterator for Split<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        if matches!(self.state, State::Ended | State::Failed(_)) {
            return None;
        }
        match self.next_member() {
            Ok(Some(span)) => Some(span),
            Ok(None) => {
                self.state = State::Ended;
                None
            }
            Err(fault) => {
                self.state = State::Failed(fault);
                None
            }
        }
    }
}

/// The text of a string with its quotes, and whether writing that text gives the same string again.
pub(super) fn text(raw: &[u8]) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(raw).ok().and_then(crate::json::text) {
        Some(text) => (text, true),
        // Not UTF-8, or half of a surrogate pair: the text serves for lookup, the raw form for writing.
        None => (Cow::Owned(String::from_utf8_lossy(&raw[1..raw.len() - 1]).into_owned()), false),
    }
}

/// The value as JSON that every reader takes: trailing commas and comments made white space. `None` if it is no JSON;
/// text that is not UTF-8 and half surrogate pairs are let pass.
pub(super) fn strict(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    if is_json(value) {
        return Some(Cow::Borrowed(value));
    }
    let clean = without_trailing_commas(value);
    is_json(&clean).then_some(Cow::Owned(clean))
}

/// The bytes with white space for trailing commas; `None` if there is more than that which is no JSON. Text that is not
/// UTF-8 and half surrogate pairs are let pass.
pub(crate) fn json_but_for_commas(bytes: &[u8]) -> Option<Blob> {
    if is_json(bytes) {
        return Some(Blob::copy_of(bytes));
    }
    let clean = Blob::new(without_trailing_commas(bytes));
    let only_commas = bytes.iter().zip(clean.expose()).all(|(old, new)| old == new || *old == b',');
    (only_commas && is_json(clean.expose())).then_some(clean)
}

/// Whether the bytes are JSON, text aside that is not UTF-8 or has half a surrogate pair.
pub(super) fn is_json(value: &[u8]) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(&String::from_utf8_lossy(value)).is_ok()
}

fn without_trailing_commas(bytes: &[u8]) -> Vec<u8> {
    let mut clean = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string_end(bytes, at).unwrap_or(bytes.len()),
            b',' => {
                if matches!(bytes.get(skip_void(bytes, at + 1)), Some(b'}' | b']')) {
                    clean[at] = b' ';
                }
                at += 1;
            }
            b'/' => {
                let end = skip_void(bytes, at).max(at + 1);
                clean[at..end].fill(b' ');
                at = end;
            }
            _ => at += 1,
        }
    }
    clean
}

/// The first place from `at` on that is neither white space nor part of a comment.
fn skip_void(bytes: &[u8], mut at: usize) -> usize {
    loop {
        while bytes.get(at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            at += 1;
        }
        let rest = &bytes[at.min(bytes.len())..];
        let rest = &rest[..rest.len().min(LONGEST_COMMENT)];
        let length = if rest.starts_with(b"//") {
            memchr(b'\n', rest)
        } else if rest.starts_with(b"/*") {
            memmem::find(&rest[2..], b"*/").map(|end| end + 4)
        } else {
            return at;
        };
        match length {
            Some(length) => at += length,
            // A comment that does not end is no comment.
            None => return at,
        }
    }
}

/// So that a document full of comments that do not end is not searched to its end for each of them.
const LONGEST_COMMENT: usize = 1024;

/// The end of the value that begins at `start`. `Damaged`: it does not end.
pub(super) fn value_end(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    match bytes.get(start).ok_or(Fault::Damaged)? {
        b'"' => string_end(bytes, start).ok_or(Fault::Damaged),
        b'{' | b'[' => {
            let mut depth = 0usize;
            let mut at = start;
            loop {
                match bytes.get(at).ok_or(Fault::Damaged)? {
                    b'"' => {
                        at = string_end(bytes, at).ok_or(Fault::Damaged)?;
                        continue;
                    }
                    b'/' => {
                        let end = skip_void(bytes, at);
                        if end > at {
                            at = end;
                            continue;
                        }
                    }
                    b'{' | b'[' if depth == limits::DEPTH => return Err(Fault::TooDeep),
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Ok(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        _ => {
            let rest = &bytes[start..];
            let length = rest
                .iter()
                .position(|byte| matches!(byte, b',' | b'}' | b']' | b':' | b'"' | b'/' | b' ' | b'\t' | b'\r' | b'\n'))
                .unwrap_or(rest.len());
            if length > 0 { Ok(start + length) } else { Err(Fault::Damaged) }
        }
    }
}

/// The end, closing quote included, of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}
