//! The fields of entities that differ between entities of one writer.

use std::sync::Arc;

use super::Entity;
use crate::secret::Secret;
use crate::time::{UnixMillis, UnixSeconds};

/// An entity type, as far as layouts are concerned.
pub(crate) trait Varying: Entity {
    /// The JSON names of the fields that differ between entities of one writer.
    const NAMES: &'static [&'static str];
    /// Those of them that stand in key texts, lower-cased, in this order.
    const IN_KEYS: &'static [usize];
    /// The JSON names of fields that may be part of a layout: they have few values, none of them secret.
    const FIXED: &'static [&'static str];

    /// The field with this number.
    fn field(&self, number: usize) -> Field<'_>;

    /// The same, to be changed.
    fn field_mut(&mut self, number: usize) -> FieldMut<'_>;
}

/// Seconds of the year 9999 have twelve digits; more of them are times that libraries read in different ways.
pub(super) const MOST_DIGITS: usize = 12;

/// The value of a varying field.
pub(crate) enum Field<'a> {
    Text(Option<&'a Arc<str>>),
    Secret(Option<&'a Secret>),
    /// Whole seconds since 1970 as they stand in the JSON.
    Seconds(Option<i64>),
}

/// The place of a varying field.
pub(crate) enum FieldMut<'a> {
    Text(&'a mut Arc<str>),
    Optional(&'a mut Option<Arc<str>>),
    Secret(&'a mut Secret),
    OptionalSecret(&'a mut Option<Secret>),
    Seconds(&'a mut Option<UnixSeconds>),
    Millis(&'a mut Option<UnixMillis>),
}

/// Implements [`Varying`]: `number "json_name" field;` for each field, then the numbers that stand in keys, and the names of
/// fixed fields.
macro_rules! varying {
    ($entity:ident { $($number:literal $name:literal $field:ident;)+ } in keys: $keys:expr, fixed: $fixed:expr) => {
        impl $crate::schema::varying::Varying for $entity {
            const NAMES: &'static [&'static str] = &[$($name),+];
            const IN_KEYS: &'static [usize] = &$keys;
            const FIXED: &'static [&'static str] = &$fixed;

            fn field(&self, number: usize) -> $crate::schema::varying::Field<'_> {
                match number {
                    $($number => (&self.$field).into(),)+
                    _ => $crate::schema::varying::Field::Text(None),
                }
            }

            fn field_mut(&mut self, number: usize) -> $crate::schema::varying::FieldMut<'_> {
                match number {
                    $($number => (&mut self.$field).into(),)+
                    _ => unreachable!("the numbers of fields come from the list of their names"),
                }
            }
        }
    };
}
pub(crate) use varying;

impl<'a> Field<'a> {
    /// The text, if the field is one and has one.
    pub(crate) fn text(self) -> Option<&'a Arc<str>> {
        match self {
            Self::Text(text) => text,
            Self::Secret(_) | Self::Seconds(_) => None,
        }
    }
}

impl Field<'_> {
    /// How many bytes it takes, at most.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.map_or(0, |text| text.len()),
            Self::Secret(secret) => secret.map_or(0, |secret| secret.as_bytes().len()),
            Self::Seconds(_) => MOST_DIGITS,
        }
    }
}

impl<'a> From<&'a Arc<str>> for Field<'a> {
    fn from(text: &'a Arc<str>) -> Self {
        Self::Text(Some(text))
    }
}

impl<'a> From<&'a Option<Arc<str>>> for Field<'a> {
    fn from(text: &'a Option<Arc<str>>) -> Self {
        Self::Text(text.as_ref())
    }
}

impl<'a> From<&'a Secret> for Field<'a> {
    fn from(secret: &'a Secret) -> Self {
        Self::Secret(Some(secret))
    }
}

impl<'a> From<&'a Option<Secret>> for Field<'a> {
    fn from(secret: &'a Option<Secret>) -> Self {
        Self::Secret(secret.as_ref())
    }
}

impl From<&Option<UnixSeconds>> for Field<'_> {
    fn from(time: &Option<UnixSeconds>) -> Self {
        Self::Seconds(time.map(|time| time.0))
    }
}

impl From<&Option<UnixMillis>> for Field<'_> {
    fn from(time: &Option<UnixMillis>) -> Self {
        Self::Seconds(time.map(|time| time.to_seconds().0))
    }
}

impl<'a> From<&'a mut Arc<str>> for FieldMut<'a> {
    fn from(place: &'a mut Arc<str>) -> Self {
        Self::Text(place)
    }
}

impl<'a> From<&'a mut Option<Arc<str>>> for FieldMut<'a> {
    fn from(place: &'a mut Option<Arc<str>>) -> Self {
        Self::Optional(place)
    }
}

impl<'a> From<&'a mut Secret> for FieldMut<'a> {
    fn from(place: &'a mut Secret) -> Self {
        Self::Secret(place)
    }
}

impl<'a> From<&'a mut Option<Secret>> for FieldMut<'a> {
    fn from(place: &'a mut Option<Secret>) -> Self {
        Self::OptionalSecret(place)
    }
}

impl<'a> From<&'a mut Option<UnixSeconds>> for FieldMut<'a> {
    fn from(place: &'a mut Option<UnixSeconds>) -> Self {
        Self::Seconds(place)
    }
}

impl<'a> From<&'a mut Option<UnixMillis>> for FieldMut<'a> {
    fn from(place: &'a mut Option<UnixMillis>) -> Self {
        Self::Millis(place)
    }
}
