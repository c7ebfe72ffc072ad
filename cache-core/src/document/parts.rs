//! A document as the parts that are read and written each as one, for what looks at all of them.

use std::sync::Arc;

use super::sections::{Content, Member, Members, Section};
use super::{UnifiedDocument, is_left_out, limits};
use crate::entry::EntryId;
use crate::schema::section;
use crate::secret::Blob;

/// A part of a document.
#[derive(Clone, Copy)]
pub(crate) enum Part<'d> {
    /// An entry of one of the five sections.
    Entry {
        section: &'d str,
        key: &'d str,
        /// The key as the document spells it, quotes included, where its text would not give it back.
        raw_key: Option<&'d Blob>,
        json: &'d Blob,
    },
    /// One of the five sections that is no object.
    NoObject { section: &'d str },
    /// A section that the schema does not know.
    Unknown { section: &'d str, json: &'d Blob },
}

/// What becomes of a part.
pub(crate) enum Form {
    Same,
    Json(Blob),
    Gone,
}

/// The parts that became something else.
#[derive(Default)]
pub(crate) struct Reformed {
    pub(crate) rewritten: Vec<EntryId>,
    pub(crate) dropped: Vec<EntryId>,
}

impl UnifiedDocument {
    /// Every part, in the document's order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.sections.iter().flat_map(|Section { name, content }| {
            let (entries, whole) = match content {
                Content::Entries(members) => (members.list.as_slice(), None),
                Content::Whole(json) => (&[][..], Some(whole(name, json))),
            };
            entries.iter().flatten().map(|member| entry(name, member)).chain(whole)
        })
    }

    /// Gives every part the form that `form` answers. One whose new form is longer than an entity may be stays as it
    /// is.
    pub(crate) fn reform(&mut self, mut form: impl FnMut(Part<'_>) -> Form) -> Reformed {
        let mut reformed = Reformed::default();
        for Section { name, content } in &mut self.sections {
            let members = match content {
                Content::Entries(members) => members,
                Content::Whole(json) => {
                    let id = || EntryId::new(Arc::clone(name), "");
                    match form(whole(name, json)) {
                        Form::Same => {}
                        Form::Json(new) => {
                            *json = new;
                            reformed.rewritten.push(id());
                        }
                        Form::Gone => {
                            *content = Content::Entries(Members::default());
                            reformed.dropped.push(id());
                        }
                    }
                    continue;
                }
            };
            for place in &mut members.list {
                let Some(member) = place else { continue };
                let id = || EntryId::new(Arc::clone(name), Arc::clone(&member.key));
                match form(entry(name, member)) {
                    Form::Json(new) if !is_left_out(&member.key, new.expose()) => {
                        if new.len() <= limits::ENTITY {
                            reformed.rewritten.push(id());
                            member.json = new;
                        }
                    }
                    Form::Same => {}
                    Form::Gone | Form::Json(_) => {
                        reformed.dropped.push(id());
                        members.by_key.remove(&member.key);
                        *place = None;
                    }
                }
            }
        }
        if !(reformed.rewritten.is_empty() && reformed.dropped.is_empty()) {
            self.changed = true;
            self.accounts.take();
        }
        reformed
    }

    /// Spells every key as the text that it is looked up by, so that every reader takes it.
    pub(crate) fn spell_keys_as_text(&mut self) {
        for Section { content, .. } in &mut self.sections {
            let Content::Entries(members) = content else { continue };
            for member in members.list.iter_mut().flatten() {
                self.changed |= member.raw_key.take().is_some();
            }
        }
    }
}

fn entry<'d>(section: &'d str, member: &'d Member) -> Part<'d> {
    Part::Entry { section, key: &member.key, raw_key: member.raw_key.as_ref(), json: &member.json }
}

fn whole<'d>(section: &'d str, json: &'d Blob) -> Part<'d> {
    if section::ALL.contains(&section) { Part::NoObject { section } } else { Part::Unknown { section, json } }
}
