//! Taking bytes apart: a sound document at the speed of memory, any other one as far as it can be read.

use std::borrow::Cow;
use std::sync::Arc;

use super::scan::{self, Fault, Span, members};
use super::sections::{Member, is_only, is_void};
use super::{Next, Sound, UnifiedDocument, limits};
use crate::schema::section;
use crate::secret::Blob;

impl UnifiedDocument {
    /// The entries of a document that is sound through and through; `None` at the first thing that is not.
    pub(super) fn sound(bytes: &Blob) -> Option<Self> {
        let mut document = Self::default();
        let mut at = Sound::new(bytes.expose());
        at.enter()?;
        let mut first = true;
        while let Next::Member(name) = at.member(first)? {
            first = false;
            let name: Arc<str> = name.into();
            if section::ALL.contains(&&*name) {
                at.enter()?;
                let members = document.section_mut(&name);
                let mut first = true;
                while let Next::Member(key) = at.member(first)? {
                    first = false;
                    at.entity_and_more()?;
                    members.insert(Member { key: key.into(), raw_key: None, json: bytes.slice(at.entity()?) });
                }
            } else {
                document.set_whole(&name, bytes.slice(at.value()?));
            }
        }
        at.ends().then_some(document)
    }

    /// The entries up to the first damage, and what the damage is.
    pub(super) fn take_apart(bytes: &Blob) -> (Self, Option<Fault>) {
        let mut document = Self::default();
        if bytes.len() > limits::DOCUMENT {
            return (document, Some(Fault::TooLarge));
        }
        let mut fault = None;
        let mut top = members(bytes.expose(), 0);
        for member in &mut top {
            fault = document.take_member(bytes, &member).err().or(fault);
        }
        if let Some(torn) = top.open().cloned() {
            let name = scan::text(&bytes.expose()[torn.key.clone()]).0;
            // Only of an object can be told which parts of it are complete.
            if section::ALL.contains(&&*name) && bytes.expose().get(torn.value.start) == Some(&b'{') {
                // What the tear goes through is damage by itself.
                let _ = document.take_member(bytes, &torn);
            }
        }
        let fault = top.fault().or(fault).or_else(|| top.trailing().then_some(Fault::Damaged));
        (document, fault)
    }

    fn take_member(&mut self, bytes: &Blob, member: &Span) -> std::result::Result<(), Fault> {
        let json = |value: &Span| match scan::strict(&bytes.expose()[value.value.clone()])? {
            Cow::Borrowed(_) => Some(bytes.slice(value.value.clone())),
            Cow::Owned(clean) => Some(Blob::new(clean)),
        };
        let name: Arc<str> = scan::text(&bytes.expose()[member.key.clone()]).0.into();
        if !section::ALL.contains(&&*name) {
            self.set_whole(&name, json(member).ok_or(Fault::Damaged)?);
            return Ok(());
        }
        let mut damaged = Ok(());
        let mut entries = members(bytes.expose(), member.value.start);
        for entry in &mut entries {
            let raw_key = &bytes.expose()[entry.key.clone()];
            let (key, exact) = scan::text(raw_key);
            self.taken += 1;
            if self.taken > limits::ENTRIES {
                return Err(Fault::TooMany);
            }
            if entry.value.len() > limits::ENTITY {
                damaged = Err(Fault::TooLarge);
            } else if let Some(json) = json(&entry) {
                let raw_key = (!exact && scan::is_json(raw_key)).then(|| Blob::copy_of(raw_key));
                self.section_mut(&name).insert(Member { key: key.into(), raw_key, json });
            } else {
                damaged = Err(Fault::Damaged);
            }
        }
        match entries.fault() {
            None => damaged,
            Some(Fault::NotAnObject) => {
                let json = json(member).ok_or(Fault::Damaged)?;
                // An empty list, as null, is an empty section.
                if !is_void(json.expose()) && !is_only(b"[]", json.expose()) {
                    self.set_whole(&name, json);
                }
                Ok(())
            }
            Some(fault) => Err(fault),
        }
    }
}

pub(super) fn without_bom(bytes: &Blob) -> Blob {
    if bytes.expose().starts_with(b"\xEF\xBB\xBF") { bytes.slice(3..bytes.len()) } else { bytes.clone() }
}
