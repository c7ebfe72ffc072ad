//! Writing a cache as a unified cache document.

use std::collections::BTreeMap;

use super::TokenCache;
use super::table::Section;
use crate::document::{is_left_out, push_text};
use crate::entry::{EntryId, Stored};
use crate::schema::section;
use crate::secret::{Blob, SecretBuffer};

impl TokenCache {
    /// The whole cache as a unified cache document. Entries that were not changed keep their JSON.
    pub fn serialize(&self) -> Blob {
        let mut out = SecretBuffer::default();
        self.serialize_into(&mut out);
        out.into_blob()
    }

    /// The same at the end of `out`. Who saves often keeps the buffer, and is spared the pages of a new one.
    pub fn serialize_into(&self, out: &mut SecretBuffer) {
        const BRACES: usize = 128;
        let entities: usize = self.sections().map(|(_, table)| table.length()).sum();
        let foreign: usize =
            self.foreign.iter().map(|(id, stored)| id.key().len() + stored.entry.json.len() + 32).sum();
        out.reserve(entities + foreign + BRACES);

        for (name, table) in self.sections() {
            out.push(if name == section::ALL[0] { b"{" } else { b"," });
            push_text(out, name);
            out.push(b":");
            write_section(out, table, &self.foreign, name);
        }
        for (id, stored) in &self.foreign {
            if !section::ALL.contains(&id.section()) {
                out.push(b",");
                push_text(out, id.section());
                out.push(b":");
                out.push(stored.entry.json.expose());
            }
        }
        out.push(b"}");
    }
}

/// Writes the entities of a section, with those behind them that are not understood.
fn write_section(out: &mut SecretBuffer, table: &dyn Section, foreign: &BTreeMap<EntryId, Stored>, name: &str) {
    let of_section = foreign.range(EntryId::new(name, "")..).take_while(|(id, _)| id.section() == name);
    let (mut members, mut whole) = (Vec::new(), None);
    for (id, stored) in of_section {
        let json = stored.entry.json.expose();
        // An empty key names the section as a whole only where that is no object; else it is a key as any.
        if id.key().is_empty() && !json.trim_ascii_start().starts_with(b"{") {
            whole = Some(json);
        } else if !is_left_out(id.key(), json) {
            members.push((id.key(), json));
        }
    }
    if let (Some(whole), 0, true) = (whole, table.len(), members.is_empty()) {
        out.push(whole);
        return;
    }
    out.push(b"{");
    table.write(out);
    for (n, (key, json)) in members.into_iter().enumerate() {
        if n > 0 || table.len() > 0 {
            out.push(b",");
        }
        push_text(out, key);
        out.push(b":");
        out.push(json);
    }
    out.push(b"}");
}
