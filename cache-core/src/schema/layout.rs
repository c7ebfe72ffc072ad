//! How a writer spells entities: JSON and key text with gaps where the fields stand that differ from entity to entity.
//!
//! All entities that one library writes look alike. Once one of them was parsed, the next is read by comparing it with the
//! first, which is several times faster than parsing; and an entity of a known layout need not keep its own JSON, since
//! layout and fields give it back byte for byte. What fits no layout is parsed, and keeps its text.

use std::sync::{Arc, LazyLock};

use memchr::memmem::Finder;

use super::texts::Texts;
use super::varying::{Field, FieldMut, MOST_DIGITS, Varying};
use crate::json::{Members, plain_length};
use crate::secret::{Blob, Secret, SecretBuffer};
use crate::text::is_lower_of;
use crate::time::UnixSeconds;

/// A layout that entities were read by. It holds no secret, and no more than the names and few values of the schema.
pub(crate) struct Layout<E> {
    json: Pattern,
    key: Pattern,
    /// Every field that does not vary.
    template: E,
    /// What the key says of the entity beside its fields.
    extended: bool,
}

/// Text with gaps.
struct Pattern {
    text: Box<[u8]>,
    gaps: Box<[Gap]>,
}

#[derive(Clone, Copy)]
struct Gap {
    /// Where in the text the gap is.
    at: usize,
    /// The number of the field that stands there.
    field: usize,
}

impl<E: Varying> Layout<E> {
    /// The layout of this entity, if all of its varying fields stand in its JSON as they are.
    pub(crate) fn learn(key: &str, json: &Blob, entity: &E) -> Option<Self> {
        if key.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
            return None;
        }
        let (template, json_pattern) = Self::learn_json(json, entity)?;
        let layout =
            Self { json: json_pattern, key: Self::learn_key(key, entity), template, extended: says_extended(key) };
        // Nothing is taken on trust: read by its own layout, the entity is the same.
        let read = layout.read(key, json.expose(), None, &mut Texts::default());
        read.is_some_and(|(same, length)| same == *entity && length == json.len()).then_some(layout)
    }

    /// Reads an entity of this layout from the beginning of `json`; answers it with its length in bytes. `None`: it is
    /// of another layout.
    ///
    /// `before` is an entity whose texts this one may share: neighbours are nearly always of one account.
    pub(crate) fn read(&self, key: &str, json: &[u8], before: Option<&E>, texts: &mut Texts) -> Option<(E, usize)> {
        let pieces = self.json.pieces();
        let mut rest = json.strip_prefix(pieces.first())?;
        let mut entity = self.template.clone();
        for (number, literal) in pieces {
            let length = match (entity.field_mut(number), before.map(|before| before.field(number))) {
                (FieldMut::Text(place), before) => {
                    let length = plain_length(rest)?;
                    *place = shared(&rest[..length], before, texts)?;
                    length
                }
                (FieldMut::Optional(place), before) => {
                    let length = plain_length(rest)?;
                    *place = if length > 0 { Some(shared(&rest[..length], before, texts)?) } else { None };
                    length
                }
                (FieldMut::Secret(place), _) => {
                    let length = plain_length(rest).filter(|length| *length > 0)?;
                    *place = Secret::of_utf8(&rest[..length]);
                    length
                }
                (FieldMut::OptionalSecret(place), _) => {
                    let length = plain_length(rest)?;
                    *place = (length > 0).then(|| Secret::of_utf8(&rest[..length]));
                    length
                }
                (FieldMut::Seconds(place), _) => {
                    let (time, length) = decimal(rest)?;
                    *place = Some(UnixSeconds(time));
                    length
                }
                (FieldMut::Millis(place), _) => {
                    let (time, length) = decimal(rest)?;
                    *place = Some(UnixSeconds(time).to_millis());
                    length
                }
            };
            rest = rest[length..].strip_prefix(literal)?;
        }
        let fits = entity.is_complete() && self.is_key(&entity, key) && says_extended(key) == self.extended;
        fits.then_some((entity, json.len() - rest.len()))
    }

    /// Whether an entity of this layout stands under this key.
    pub(crate) fn is_key(&self, entity: &E, key: &str) -> bool {
        let pieces = self.key.pieces();
        let Some(mut rest) = key.as_bytes().strip_prefix(pieces.first()) else { return false };
        for (number, literal) in pieces {
            let text = entity.field(number).text().map_or("", |text| text);
            match rest.split_at_checked(text.len()) {
                Some((value, behind)) if is_lower_of(value, text) => match behind.strip_prefix(literal) {
                    Some(behind) => rest = behind,
                    None => return false,
                },
                _ => return false,
            }
        }
        rest.is_empty()
    }

    /// The key that an entity of this layout stands under.
    pub(crate) fn key(&self, entity: &E) -> String {
        let mut key = Vec::with_capacity(self.key_length(entity));
        let pieces = self.key.pieces();
        key.extend_from_slice(pieces.first());
        for (number, literal) in pieces {
            if let Some(text) = entity.field(number).text() {
                key.extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
            }
            key.extend_from_slice(literal);
        }
        // Pieces of a text at places where whole fields begin and end, and those fields.
        String::from_utf8(key).unwrap_or_default()
    }

    /// Writes that key with its quotes. It holds nothing that JSON escapes.
    pub(crate) fn write_key(&self, entity: &E, out: &mut SecretBuffer) {
        let pieces = self.key.pieces();
        out.push(b"\"");
        out.push(pieces.first());
        for (number, literal) in pieces {
            out.push_lower_case(entity.field(number).text().map_or("", |text| text));
            out.push(literal);
        }
        out.push(b"\"");
    }

    /// Writes an entity of this layout as it was read.
    pub(crate) fn write(&self, entity: &E, out: &mut SecretBuffer) {
        let pieces = self.json.pieces();
        out.push(pieces.first());
        for (number, literal) in pieces {
            match entity.field(number) {
                Field::Text(text) => out.push(text.map_or("", |text| text).as_bytes()),
                Field::Secret(secret) => out.push(secret.map_or(&[], Secret::as_bytes)),
                Field::Seconds(time) => push_decimal(out, time.unwrap_or_default()),
            }
            out.push(literal);
        }
    }

    /// How many bytes [`write`](Self::write) writes.
    pub(crate) fn length(&self, entity: &E) -> usize {
        self.json.gaps.iter().map(|gap| entity.field(gap.field).length()).sum::<usize>() + self.json.text.len()
    }

    /// How long the key is that an entity of this layout stands under.
    pub(crate) fn key_length(&self, entity: &E) -> usize {
        self.key.gaps.iter().map(|gap| entity.field(gap.field).length()).sum::<usize>() + self.key.text.len()
    }

    /// Whether the keys of this layout are in lower case, as far as the layout decides.
    pub(crate) fn is_lower_case(&self) -> bool {
        std::str::from_utf8(&self.key.text).is_ok_and(|text| !text.chars().any(char::is_uppercase))
    }

    fn learn_json(json: &Blob, entity: &E) -> Option<(E, Pattern)> {
        let bytes = json.expose();
        let Members(members) = serde_json::from_slice(bytes).ok()?;
        let mut template = entity.clone();
        let mut text = Vec::new();
        let mut gaps: Vec<Gap> = Vec::new();
        let mut taken = 0;
        let mut names = Vec::with_capacity(members.len());
        for (name, value) in members {
            let value = value.get();
            // Of a repeated name the last one counts, wherever the first one stands.
            if names.contains(&name) {
                return None;
            }
            names.push(name.clone());
            let Some(field) = E::NAMES.iter().position(|varying| *varying == name) else {
                if E::FIXED.contains(&&*name) && value.len() <= LONGEST_FIXED {
                    continue;
                }
                return None;
            };
            if value == "null" {
                continue;
            }
            // What stands in the JSON is a part of it, so that its place can be told.
            let start = value.as_ptr().addr().checked_sub(bytes.as_ptr().addr())?;
            let start = start + usize::from(value.starts_with('"'));
            let length = match template.field_mut(field) {
                FieldMut::Seconds(_) | FieldMut::Millis(_) => decimal(&bytes[start..])?.1,
                _ if !value.starts_with('"') => return None,
                _ => plain_length(&bytes[start..])?,
            };
            clear(&mut template, field);
            text.extend_from_slice(&bytes[taken..start]);
            gaps.push(Gap { at: text.len(), field });
            taken = start + length;
        }
        text.extend_from_slice(&bytes[taken..]);
        Some((template, Pattern { text: text.into(), gaps: gaps.into() }))
    }

    fn learn_key(key: &str, entity: &E) -> Pattern {
        let mut text = Vec::new();
        let mut gaps = Vec::new();
        let mut rest = key;
        for &field in E::IN_KEYS {
            let Some(value) = entity.field(field).text() else { continue };
            let lower = value.to_ascii_lowercase();
            if let Some((literal, behind)) = rest.split_once(&lower).filter(|_| !lower.is_empty()) {
                text.extend_from_slice(literal.as_bytes());
                gaps.push(Gap { at: text.len(), field });
                rest = behind;
            }
        }
        text.extend_from_slice(rest.as_bytes());
        Pattern { text: text.into(), gaps: gaps.into() }
    }
}

impl Pattern {
    fn pieces(&self) -> Pieces<'_> {
        Pieces { pattern: self, next: 0 }
    }
}

/// The fields of a pattern, each with the literal text behind it.
struct Pieces<'p> {
    pattern: &'p Pattern,
    next: usize,
}

impl<'p> Pieces<'p> {
    /// The literal text before the first field.
    fn first(&self) -> &'p [u8] {
        &self.pattern.text[..self.pattern.gaps.first().map_or(self.pattern.text.len(), |gap| gap.at)]
    }
}

impl<'p> Iterator for Pieces<'p> {
    type Item = (usize, &'p [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let Pattern { text, gaps } = self.pattern;
        let gap = gaps.get(self.next)?;
        self.next += 1;
        Some((gap.field, &text[gap.at..gaps.get(self.next).map_or(text.len(), |next| next.at)]))
    }
}

/// The text in memory that it shares with the entity before, or with every equal text. `None` if it is not UTF-8.
fn shared(text: &[u8], before: Option<Field<'_>>, texts: &mut Texts) -> Option<Arc<str>> {
    match before.and_then(Field::text) {
        Some(same) if same.as_bytes() == text => Some(Arc::clone(same)),
        _ => Some(texts.share(std::str::from_utf8(text).ok()?)),
    }
}

/// Leaves a field as it is in an entity without it.
fn clear<E: Varying>(entity: &mut E, number: usize) {
    match entity.field_mut(number) {
        FieldMut::Text(place) => *place = Arc::default(),
        FieldMut::Optional(place) => *place = None,
        FieldMut::Secret(place) => *place = Secret::default(),
        FieldMut::OptionalSecret(place) => *place = None,
        FieldMut::Seconds(place) => *place = None,
        FieldMut::Millis(place) => *place = None,
    }
}

/// The length of a fixed value, quotes included, as JSON; those that libraries write are shorter.
const LONGEST_FIXED: usize = 64;

/// The number that `rest` begins with and its length, if writing the number gives the same digits.
fn decimal(rest: &[u8]) -> Option<(i64, usize)> {
    let length = rest.iter().take(MOST_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    let digits = &rest[..length];
    if length == 0 || length > MOST_DIGITS || digits[0] == b'0' {
        return None;
    }
    // Half a number, such as the whole part of a fraction, is not the number.
    let ended = rest.get(length).is_some_and(|byte| matches!(byte, b'"' | b',' | b'}' | b' ' | b'\r' | b'\n' | b'\t'));
    ended.then(|| (digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')), length))
}

fn push_decimal(out: &mut SecretBuffer, number: i64) {
    let mut digits = [0; 20];
    let (mut rest, mut at) = (number.unsigned_abs(), digits.len());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.push(&digits[at..]);
}

/// Whether the key text marks an access token as extended, as [`AccessToken`](super::AccessToken) reads it.
pub(crate) fn says_extended(key: &str) -> bool {
    static MARK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("-atext-"));
    let lower = !key.bytes().fold(false, |found, byte| found | byte.is_ascii_uppercase() | !byte.is_ascii());
    if lower { MARK.find(key.as_bytes()).is_some() } else { MARK.find(key.to_lowercase().as_bytes()).is_some() }
}
