//! The fields of one entity as raw JSON, while they are brought into form.

use std::borrow::Cow;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::text::quoted;
use crate::document::push_text;
use crate::json::{Members, text};
use crate::secret::{Blob, SecretBuffer};

/// The members of a JSON object in their order. What is not changed stays as it is spelled.
pub(super) struct Fields<'e> {
    list: Vec<(Cow<'e, str>, Value<'e>)>,
    changed: bool,
}

enum Value<'e> {
    Raw(&'e str),
    New(Zeroizing<String>),
}

impl<'e> Fields<'e> {
    /// `None` if this is no object, or its text is not sound.
    pub(super) fn of(json: &'e [u8]) -> Option<Self> {
        let raw: &RawValue = serde_json::from_slice(json).ok()?;
        let Members(members) = serde_json::from_str(raw.get()).ok()?;
        let list = members.into_iter().map(|(name, value)| (name, Value::Raw(value.get()))).collect();
        Some(Self { list, changed: false })
    }

    /// The JSON of a field; of a repeated one, the last.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.list.iter().rev().find(|(have, _)| have == name).map(|(_, value)| value.get())
    }

    /// The text of a field that is a text, and not an empty one.
    pub(super) fn some_text(&self, name: &str) -> Option<Zeroizing<String>> {
        let raw = self.raw(name).filter(|raw| raw.starts_with('"'))?;
        Some(Zeroizing::new(text(raw)?.into_owned())).filter(|text| !text.is_empty())
    }

    /// Whether there is no such field, or a null one.
    pub(super) fn lacks(&self, name: &str) -> bool {
        self.raw(name).is_none_or(|raw| raw == "null")
    }

    /// Whether there is no such field, or one that says nothing: null, an empty text or an empty object.
    pub(super) fn says_nothing(&self, name: &str) -> bool {
        self.raw(name).is_none_or(|raw| matches!(raw, "null" | "\"\"") || raw.bytes().filter(|b| *b > b' ').eq(*b"{}"))
    }

    /// The fields in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(name, value)| (&**name, value.get()))
    }

    /// Puts a text.
    pub(super) fn set_text(&mut self, name: &'static str, text: &str) {
        self.set(name, quoted(text));
    }

    /// Puts any JSON.
    pub(super) fn set(&mut self, name: &'static str, json: Zeroizing<String>) {
        self.changed = true;
        match self.list.iter_mut().rev().find(|(have, _)| have == name) {
            Some((_, value)) => *value = Value::New(json),
            None => self.list.push((Cow::Borrowed(name), Value::New(json))),
        }
    }

    /// Removes every field of this name.
    pub(super) fn remove(&mut self, name: &str) {
        let before = self.list.len();
        self.list.retain(|(have, _)| have != name);
        self.changed |= self.list.len() != before;
    }

    /// Puts the JSON text of a value in its place where `is_too_much` says so; answers whether it did for one.
    pub(super) fn make_texts(&mut self, is_too_much: impl Fn(&str) -> bool) -> bool {
        let mut made = false;
        for (_, value) in &mut self.list {
            if is_too_much(value.get()) {
                *value = Value::New(quoted(value.get()));
                made = true;
            }
        }
        self.changed |= made;
        made
    }

    /// Keeps the last of each repeated field, at the place of the first; answers whether one was repeated.
    pub(super) fn keep_last(&mut self) -> bool {
        let before = self.list.len();
        let mut places = std::collections::HashMap::with_capacity(before);
        let mut kept: Vec<(Cow<'e, str>, Value<'e>)> = Vec::with_capacity(before);
        for (name, value) in self.list.drain(..) {
            match places.get(&name) {
                Some(&at) => kept[at] = (name, value),
                None => {
                    places.insert(name.clone(), kept.len());
                    kept.push((name, value));
                }
            }
        }
        self.list = kept;
        let repeated = self.list.len() != before;
        self.changed |= repeated;
        repeated
    }

    /// The object as JSON, if a field was changed.
    pub(super) fn changed(&self) -> Option<Blob> {
        self.changed.then(|| self.render())
    }

    /// The object as JSON.
    pub(super) fn render(&self) -> Blob {
        let size: usize = self.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        let mut out = SecretBuffer::with_capacity(size + 2);
        out.push(b"{");
        for (n, (name, value)) in self.iter().enumerate() {
            if n > 0 {
                out.push(b",");
            }
            push_text(&mut out, name);
            out.push(b":");
            out.push(value.as_bytes());
        }
        out.push(b"}");
        out.into_blob()
    }
}

impl Value<'_> {
    fn get(&self) -> &str {
        match self {
            Self::Raw(json) => json,
            Self::New(json) => json,
        }
    }
}
