//! `show`: one entry, its secrets redacted.

use std::fmt;

use cache_core::schema::section;
use cache_core::{Blob, EntryId, UnixSeconds};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::args::Show;
use crate::context::Context;
use crate::entry_name::{self, EntryNames};
use crate::exit::Failure;
use crate::output::{Cell, Page, Report, Rows};
use crate::store::Store;
use crate::times::{date, expiry};

/// Shows the entry. Exit 4: there is none of that name.
pub(crate) fn run(args: &Show, context: &Context) -> Result<(), Failure> {
    let cache = Store::open(&args.location, context)?.load()?;
    let names = EntryNames::of(&cache);
    let id = names.find(&args.entry)?;
    let gone = || Failure::error("the entry has no content; this is a defect of tokencache");
    let entry = cache.entries().find(|entry| entry.id == *id).ok_or_else(gone)?;
    let redaction = if args.secrets { Redaction::Off } else { Redaction::Of(id.section()) };
    context.output.print(&Shown {
        id: names.short(id),
        entry: entry_name::full(id),
        section: id.section(),
        key: id.key(),
        understood: !cache.foreign().any(|foreign| foreign.id == *id),
        redacted: !args.secrets,
        content: Content::of(id, &entry.json, redaction),
        now: context.now(),
    })
}

/// One entry, as far as it may be seen.
#[derive(Serialize)]
struct Shown<'e> {
    id: String,
    entry: String,
    section: &'e str,
    key: &'e str,
    understood: bool,
    redacted: bool,
    #[serde(flatten)]
    content: Content<'e>,
    #[serde(skip)]
    now: UnixSeconds,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Content<'e> {
    /// An entity: its fields in their order.
    Fields(Fields<'e>),
    /// Anything else: an unknown section, or an entity that is no object.
    Value(Value<'e>),
}

struct Fields<'e>(Vec<(String, Value<'e>)>);

enum Value<'e> {
    Plain(&'e RawValue),
    Redacted,
}

/// Which values are shown.
#[derive(Clone, Copy)]
enum Redaction<'s> {
    Off,
    /// Those of the section's fields that never hold a secret.
    Of(&'s str),
}

/// What stands in the place of a value that is not shown.
const REDACTED: &str = "[redacted]";

/// The fields that never hold a secret, in every section of the schema. Whatever is not named here is redacted, other
/// libraries' fields and fields of later versions included.
const SAFE: &[&str] = &[
    "cached_at",
    "client_id",
    "client_info",
    "credential_type",
    "environment",
    "expires_on",
    "ext_expires_on",
    "extended_expires_on",
    "family_id",
    "home_account_id",
    "key_id",
    "keyid",
    "kid",
    "last_modification_time",
    "realm",
    "refresh_on",
    "resource",
    "target",
    "token_type",
];

/// The same of accounts only.
const SAFE_IN_ACCOUNTS: &[&str] = &[
    "account_source",
    "alternative_account_id",
    "authority_type",
    "family_name",
    "given_name",
    "local_account_id",
    "middle_name",
    "name",
    "username",
];

/// The fields that are times, in seconds since 1970.
const TIMES: &[&str] =
    &["cached_at", "expires_on", "ext_expires_on", "extended_expires_on", "last_modification_time", "refresh_on"];

impl Redaction<'_> {
    fn lets_through(self, field: &str, value: &RawValue) -> bool {
        let Self::Of(section) = self else { return true };
        // What is safe as text need not be so as an object: nothing is known of its inside.
        let scalar = !value.get().starts_with(['{', '[']);
        scalar && (SAFE.contains(&field) || section == section::ACCOUNT && SAFE_IN_ACCOUNTS.contains(&field))
    }
}

impl<'e> Content<'e> {
    fn of(id: &EntryId, json: &'e Blob, redaction: Redaction<'_>) -> Self {
        if section::ALL.contains(&id.section())
            && !id.key().is_empty()
            && let Ok(Members(members)) = serde_json::from_slice(json.expose())
        {
            let shown = members.into_iter().map(|(name, value)| {
                let value = if redaction.lets_through(&name, value) { Value::Plain(value) } else { Value::Redacted };
                (name, value)
            });
            return Self::Fields(Fields(shown.collect()));
        }
        match (redaction, serde_json::from_slice(json.expose())) {
            (Redaction::Off, Ok(value)) => Self::Value(Value::Plain(value)),
            _ => Self::Value(Value::Redacted),
        }
    }
}

impl Value<'_> {
    /// The value as a person reads it: text without its quotes.
    fn text(&self) -> String {
        match self {
            Self::Redacted => REDACTED.to_owned(),
            Self::Plain(value) => serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned()),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(serializer),
            Self::Redacted => serializer.serialize_str(REDACTED),
        }
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The members of an object in their order, the last one of a repeated name.
struct Members<'e>(Vec<(String, &'e RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(String, &'de RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    match members.iter_mut().find(|(have, _)| *have == name) {
                        Some((_, old)) => *old = value,
                        None => members.push((name, value)),
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

impl Report for Shown<'_> {
    fn table(&self, page: &mut Page) {
        let mut rows = vec![[Cell::of("id"), Cell::of(&*self.id)], [Cell::of("entry"), Cell::of(&*self.entry)]];
        match &self.content {
            Content::Fields(Fields(fields)) => {
                rows.extend(
                    fields.iter().map(|(name, value)| [Cell::of(&**name), Cell::of(self.annotated(name, value))]),
                );
            }
            Content::Value(value) => rows.push([Cell::of("value"), Cell::of(value.text())]),
        }
        page.table(rows.iter());
        if !self.understood {
            page.gap();
            page.line("This entry is not understood; it is carried along as it is.");
        }
    }

    fn rows(&self, rows: &mut Rows) {
        rows.row(&["id", &self.id]);
        rows.row(&["entry", &self.entry]);
        match &self.content {
            Content::Fields(Fields(fields)) => {
                for (name, value) in fields {
                    rows.row(&[&format!("fields.{name}"), &value.text()]);
                }
            }
            Content::Value(value) => rows.row(&["value", &value.text()]),
        }
    }
}

impl Shown<'_> {
    /// The value, and what a time means.
    fn annotated(&self, name: &str, value: &Value<'_>) -> String {
        let text = value.text();
        let time = TIMES.contains(&name).then(|| text.parse().ok().map(UnixSeconds)).flatten();
        let meaning = match time {
            Some(time) if name == "expires_on" => Some(expiry(Some(time), self.now)),
            Some(time) => date(time),
            None => None,
        };
        match meaning {
            Some(meaning) => format!("{text}  {meaning}"),
            None => text,
        }
    }
}
