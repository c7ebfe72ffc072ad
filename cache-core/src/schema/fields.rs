//! Lenient reading of an entity's fields, and canonical writing of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::json::{Members, text};
use crate::secret::{Blob, Secret, SecretBuffer};
use crate::time::{UnixMillis, UnixSeconds};

/// Fields of an entity that its type does not name, as raw JSON: they survive every rewrite of the entity.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AdditionalFields(Vec<(Box<str>, Blob)>);

/// Texts by name, for the few fields that are objects. `Debug` shows the names only: values may be claims or codes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Components(BTreeMap<Box<str>, Box<str>>);

/// The reason why an entity stays unread: a field holds a value of a kind that has no meaning there.
pub(crate) struct Unfit;

/// A field's value while an entity is read.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    entity: &'a Blob,
    raw: &'a RawValue,
}

/// Calls `field` for each member of the entity, in order. `Unfit` if the JSON is not an object.
pub(crate) fn read<'a>(
    entity: &'a Blob,
    mut field: impl FnMut(Cow<'a, str>, Value<'a>) -> Result<(), Unfit>,
) -> Result<(), Unfit> {
    let Members(members) = serde_json::from_slice(entity.expose()).map_err(|_| Unfit)?;
    members.into_iter().try_for_each(|(name, raw)| field(name, Value { entity, raw }))
}

impl Value<'_> {
    /// Text, or a number as its text; `None` for null.
    pub(crate) fn text(self) -> Result<Option<Arc<str>>, Unfit> {
        self.plain().map(|text| text.map(|text| text.into_owned().into()))
    }

    /// As [`text`](Self::text), with empty text like null.
    pub(crate) fn some_text(self) -> Result<Option<Arc<str>>, Unfit> {
        Ok(self.text()?.filter(|text| !text.is_empty()))
    }

    /// A secret, sharing the entity's memory where it has no escapes; `None` for null and empty text.
    pub(crate) fn secret(self) -> Result<Option<Secret>, Unfit> {
        let raw = self.raw.get();
        if raw == "null" || raw == "\"\"" {
            return Ok(None);
        }
        if !raw.starts_with('"') {
            return Err(Unfit);
        }
        match text(raw).ok_or(Unfit)? {
            Cow::Owned(text) => Ok(Some(Secret::new(text))),
            Cow::Borrowed(inner) => {
                // The raw value lies within the entity's bytes, and so does the text between its quotes.
                let start = inner.as_ptr().addr().checked_sub(self.entity.expose().as_ptr().addr()).ok_or(Unfit)?;
                Secret::within(self.entity, start..start + inner.len()).map(Some).ok_or(Unfit)
            }
        }
    }

    /// Seconds since 1970 from text or a number, a fraction cut off; `None` for everything else.
    pub(crate) fn seconds(self) -> Option<UnixSeconds> {
        self.millis().map(UnixMillis::to_seconds)
    }

    /// As [`millis`].
    pub(crate) fn millis(self) -> Option<UnixMillis> {
        millis(self.raw.get())
    }

    /// An object of texts; `None` for null and for an empty one.
    pub(crate) fn map(self) -> Result<Option<Components>, Unfit> {
        if self.raw.get() == "null" {
            return Ok(None);
        }
        let Members(members) = serde_json::from_str(self.raw.get()).map_err(|_| Unfit)?;
        let map = members.into_iter().map(|(name, value)| {
            let value = value.get();
            let value = if value.starts_with('"') { text(value) } else { None };
            Ok((name.into_owned(), value.ok_or(Unfit)?.into_owned()))
        });
        let map: Components = map.collect::<Result<_, Unfit>>()?;
        Ok((!map.is_empty()).then_some(map))
    }

    /// An array of texts; `None` for null.
    pub(crate) fn texts(self) -> Result<Option<Vec<Arc<str>>>, Unfit> {
        if self.raw.get() == "null" {
            return Ok(None);
        }
        let list: Vec<&RawValue> = serde_json::from_str(self.raw.get()).map_err(|_| Unfit)?;
        let texts = list.into_iter().map(|item| {
            let item = item.get();
            if item.starts_with('"') {
                text(item).map(|text| text.into_owned().into()).ok_or(Unfit)
            } else {
                Err(Unfit)
            }
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// The value as it stands.
    pub(crate) fn raw(self) -> Blob {
        Blob::copy_of(self.raw.get().as_bytes())
    }

    /// Whether the value is null.
    pub(crate) fn is_null(self) -> bool {
        self.raw.get() == "null"
    }

    fn plain(&self) -> Result<Option<Cow<'_, str>>, Unfit> {
        plain(self.raw.get())
    }
}

/// Seconds since 1970 with up to three decimals, as Objective-C writes them, from the JSON of a field; `None` for what
/// is no number.
pub(crate) fn millis(raw: &str) -> Option<UnixMillis> {
    let text = plain(raw).ok()??;
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let decimals = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let Some(seconds) = whole.parse::<i64>().ok().filter(|_| decimals) else {
        // A number with an exponent, such as 1.8e9.
        let number: f64 = text.parse().ok().filter(|number: &f64| number.abs() < 9.2e18)?;
        return Some(UnixSeconds(number as i64).to_millis());
    };
    let millis = fraction.bytes().chain(*b"000").take(3).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let millis = if whole.starts_with('-') { -millis } else { millis };
    Some(UnixMillis(seconds.saturating_mul(1000).saturating_add(millis)))
}

fn plain(raw: &str) -> Result<Option<Cow<'_, str>>, Unfit> {
    match raw.as_bytes().first() {
        Some(b'"') => text(raw).map(Some).ok_or(Unfit),
        Some(b'-' | b'0'..=b'9') => Ok(Some(Cow::Borrowed(raw))),
        Some(b'n') => Ok(None),
        _ => Err(Unfit),
    }
}

impl std::ops::Deref for Components {
    type Target = BTreeMap<Box<str>, Box<str>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::DerefMut for Components {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<N: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(N, V)> for Components {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(components: I) -> Self {
        Self(components.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Components {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl AdditionalFields {
    /// The raw JSON of the field with this name.
    pub fn raw(&self, name: &str) -> Option<&Blob> {
        self.0.iter().find(|(have, _)| &**have == name).map(|(_, json)| json)
    }

    /// The names of the fields, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// Adds a field as raw JSON; of a repeated name, the last one counts once [`unrepeated`](Self::unrepeated) was called.
    /// The caller sees to it that `json` is JSON.
    pub(crate) fn push(&mut self, name: &str, json: Blob) {
        self.0.push((name.into(), json));
    }

    /// The fields with each name once, its last value in its first place.
    pub(crate) fn unrepeated(mut self) -> Self {
        let mut places: HashMap<Box<str>, usize> = HashMap::with_capacity(self.0.len());
        let mut fields: Vec<(Box<str>, Blob)> = Vec::with_capacity(self.0.len());
        for (name, json) in self.0.drain(..) {
            match places.get(&name) {
                Some(at) => fields[*at].1 = json,
                None => {
                    places.insert(name.clone(), fields.len());
                    fields.push((name, json));
                }
            }
        }
        Self(fields)
    }

    /// Takes over every field of `older` that is not here.
    pub(crate) fn inherit(&mut self, older: &Self) {
        let known: HashSet<Box<str>> = self.names().map(Into::into).collect();
        let missing = older.0.iter().filter(|(name, _)| !known.contains(name));
        self.0.extend(missing.cloned());
    }
}

impl fmt::Debug for AdditionalFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Writes an entity: every value a string, absent values left out.
pub(crate) struct Writer(SecretBuffer, Vec<&'static str>);

impl Writer {
    pub(crate) fn new() -> Self {
        let mut buffer = SecretBuffer::with_capacity(1024);
        buffer.push(b"{");
        Self(buffer, Vec::with_capacity(20))
    }

    /// A field with its text, empty text included.
    pub(crate) fn text(&mut self, name: &'static str, text: &str) {
        self.name(name);
        self.quoted(text);
    }

    /// A field that is left out when absent.
    pub(crate) fn optional(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// A time in decimal seconds, within the years that every library can load.
    pub(crate) fn seconds(&mut self, name: &'static str, time: Option<UnixSeconds>) {
        if let Some(time) = time {
            self.text(name, &time.portable().to_string());
        }
    }

    /// An object of texts; left out when empty.
    pub(crate) fn map(&mut self, name: &'static str, map: &Components) {
        if map.is_empty() {
            return;
        }
        self.name(name);
        for (n, (key, value)) in map.iter().enumerate() {
            self.0.push(if n == 0 { b"{" } else { b"," });
            self.quoted(key);
            self.0.push(b":");
            self.quoted(value);
        }
        self.0.push(b"}");
    }

    /// An array of texts; left out when empty.
    pub(crate) fn texts(&mut self, name: &'static str, texts: &[Arc<str>]) {
        if texts.is_empty() {
            return;
        }
        self.name(name);
        for (n, text) in texts.iter().enumerate() {
            self.0.push(if n == 0 { b"[" } else { b"," });
            self.quoted(text);
        }
        self.0.push(b"]");
    }

    /// The entity with its unknown fields at the end.
    pub(crate) fn finish(mut self, additional: &AdditionalFields) -> Blob {
        // A name twice in one object makes MSAL.NET give up the whole document.
        let written = std::mem::take(&mut self.1);
        for (name, json) in additional.0.iter().filter(|(name, _)| !written.contains(&&**name)) {
            self.raw_name(name);
            self.0.push(json.expose());
        }
        self.0.push(b"}");
        self.0.into_blob()
    }

    fn name(&mut self, name: &'static str) {
        self.1.push(name);
        self.raw_name(name);
    }

    fn raw_name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b",");
        }
        self.quoted(name);
        self.0.push(b":");
    }

    fn quoted(&mut self, text: &str) {
        // Writing a string into memory cannot fail.
        let _ = serde_json::to_writer(&mut self.0, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(json: &str) -> Option<i64> {
        let entity = Blob::copy_of(format!(r#"{{"t":{json}}}"#).as_bytes());
        let mut found = None;
        assert!(
            read(&entity, |_, value| {
                found = value.millis().map(|time| time.0);
                Ok(())
            })
            .is_ok()
        );
        found
    }

    #[test]
    fn times_are_read_leniently() {
        for (json, expected) in [
            (r#""1800000000""#, Some(1_800_000_000_000)),
            ("1800000000", Some(1_800_000_000_000)),
            ("1800000000.9", Some(1_800_000_000_900)),
            ("1.8e9", Some(1_800_000_000_000)),
            (r#""1800000000.123""#, Some(1_800_000_000_123)),
            (r#"" +1800000000 ""#, Some(1_800_000_000_000)),
            (r#""-62135596800""#, Some(-62_135_596_800_000)),
            (r#""9999999999999""#, Some(9_999_999_999_999_000)),
            (r#""9223372036854775807""#, Some(i64::MAX)),
            (r#""99999999999999999999999""#, None),
            (r#""""#, None),
            ("null", None),
            ("true", None),
            (r#""2027-01-15T08:00:00Z""#, None),
            (r#""12.x""#, None),
        ] {
            assert_eq!(millis(json), expected, "{json}");
        }
    }

    #[test]
    fn a_secret_shares_the_entity() {
        for (json, expected) in [(r#"{"secret":"planted"}"#, "planted"), (r#"{"secret":"pl\u0061nted"}"#, "planted")] {
            let entity = Blob::copy_of(json.as_bytes());
            let mut secret = None;
            assert!(
                read(&entity, |_, value| {
                    secret = value.secret()?;
                    Ok(())
                })
                .is_ok()
            );
            assert_eq!(secret.expect("a secret").expose(), expected);
        }
    }
}
