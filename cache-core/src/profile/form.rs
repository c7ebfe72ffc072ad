//! The form of one part of a document: the rules in their order.

use super::context::Context;
use super::fields::Fields;
use super::objection::Reason;
use super::{Peer, loadable, spelling, text};
use crate::document::{Form, Part};
use crate::entry::Entry;
use crate::schema::section;
use crate::secret::Blob;
use crate::text::eq_ignore_case;

/// The form of a part.
pub(super) fn of(part: Part<'_>, context: &mut Context<'_>) -> Form {
    match part {
        Part::NoObject { section } => {
            context.notes.enter(section);
            context.note([Peer::Python, Peer::Node, Peer::Go, Peer::DotNet], Reason::Section);
            // Nobody reads anything from it, and every reader fails.
            if context.profile.names_any() { Form::Gone } else { Form::Same }
        }
        Part::Unknown { section, json } => {
            context.notes.enter("");
            if section::ALL.iter().any(|known| eq_ignore_case(known, section)) {
                context.note([Peer::DotNet], Reason::SectionName);
            }
            sound_value(json, loadable::SECTION_LEVELS, context).map_or(Form::Same, Form::Json)
        }
        Part::Entry { section, key, raw_key, json } => {
            context.notes.enter(section);
            if let Some(raw_key) = raw_key {
                sound_text(raw_key, context);
            }
            of_entity(section, key, json, context)
        }
    }
}

/// The JSON of an entry that is going to be put; `None`: as it is.
pub(super) fn of_entry(entry: &Entry, context: &mut Context<'_>) -> Option<Blob> {
    let id = &entry.id;
    let is_entity = section::ALL.contains(&id.section());
    let form = if is_entity {
        of_entity(id.section(), id.key(), &entry.json, context)
    } else {
        of(Part::Unknown { section: id.section(), json: &entry.json }, context)
    };
    match form {
        Form::Json(json) => Some(json),
        // Dropped together with all others of its kind, once it is in the document.
        Form::Same | Form::Gone => None,
    }
}

fn of_entity(section: &str, key: &str, json: &Blob, context: &mut Context<'_>) -> Form {
    let sound = sound_text(json, context);
    let json = sound.as_ref().unwrap_or(json);
    let Some(mut fields) = Fields::of(json.expose()) else {
        context.note([Peer::Python, Peer::Go, Peer::DotNet], Reason::NotAnEntity);
        return sound_value(json, loadable::ENTITY_LEVELS, context).or(sound).map_or(Form::Same, Form::Json);
    };
    if context.names(Peer::DotNet) {
        loadable::mend(section, &mut fields, context);
    }
    spelling::mend(section, key, &mut fields, context);
    if section == section::ID_TOKEN && !loadable::is_id_token(&fields) && context.note([Peer::DotNet], Reason::IdToken)
    {
        return Form::Gone;
    }
    fields.changed().or(sound).map_or(Form::Same, Form::Json)
}

/// A value of which no field is known.
fn sound_value(json: &Blob, most_levels: usize, context: &mut Context<'_>) -> Option<Blob> {
    let sound = sound_text(json, context);
    let value = std::str::from_utf8(sound.as_ref().unwrap_or(json).expose()).ok()?;
    if text::levels(value) > most_levels && context.note([Peer::DotNet], Reason::Levels) {
        return Some(Blob::copy_of(text::quoted(value).as_bytes()));
    }
    sound
}

/// The JSON with text that these libraries can read; `None` if it is that already.
fn sound_text(json: &Blob, context: &mut Context<'_>) -> Option<Blob> {
    if !context.profile.names_any() {
        return None;
    }
    let utf8 = text::as_utf8(json.expose());
    if utf8.is_some() {
        context.note([Peer::Python], Reason::NotUtf8);
    }
    let json = utf8.as_ref().unwrap_or(json);
    let pairs = if context.names(Peer::DotNet) { text::with_whole_pairs(json.expose()) } else { None };
    if pairs.is_some() {
        context.note([Peer::DotNet], Reason::Surrogate);
    }
    pairs.or(utf8)
}
