//! One partition, but for commits: all of it, single entries, entries by what they are looked up by; and its removal. Each is one
//! question to the server.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{
    Blob, Entry, EntryId, ErrorKind, Extent, LookupTerm, PartitionKey, Protector, Result, Snapshot, Stored, Version,
    blocking_work,
};
use cache_crypto::rows::{PartitionTag, Tag, unreadable_id};
use redis::{Cmd, Value};

use crate::NAME;
use crate::error::unexpected;
use crate::head::Head;
use crate::inner::Inner;
use crate::link::Within;
use crate::script::READ;
use crate::stored::decode;
use crate::unreadable::Why;

/// A partition by the names of one head.
pub(crate) struct Reading {
    pub(crate) inner: Arc<Inner>,
    pub(crate) head: Arc<Head>,
    pub(crate) partition: PartitionKey,
}

/// What `read` finds by the names of the store; `None`: nothing is there under the names that count, which are compared with
/// the server's if that was not done within `relied_upon`.
pub(crate) async fn by_names<T, Found: Future<Output = Result<Option<T>>>>(
    inner: &Arc<Inner>,
    partition: &PartitionKey,
    relied_upon: Duration,
    within: Within,
    read: impl Fn(Reading) -> Found,
) -> Result<Option<T>> {
    /// Whoever empties the server again and again is not asked for ever.
    const TRIES: usize = 3;
    for _ in 0..TRIES {
        let heads = inner.head_within(within);
        let Some(head) = heads.find().await? else { return Ok(None) };
        let (inner_too, partition) = (Arc::clone(inner), partition.clone());
        let found = read(Reading { inner: inner_too, head: Arc::clone(&head), partition }).await?;
        if found.is_some() || !Box::pin(heads.is_superseded(&head, relied_upon)).await? {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Deletes the partition.
pub(crate) async fn remove(inner: &Arc<Inner>, partition: &PartitionKey) -> Result<()> {
    let unlink = |reading: Reading| async move { reading.unlink().await };
    by_names(inner, partition, Duration::ZERO, Within::Request, unlink).await.map(drop)
}

impl Reading {
    /// All entries, or the stamp alone of a partition that has more than `limit`.
    pub(crate) async fn load_within(&self, limit: usize) -> Result<Option<Extent>> {
        let tag = self.tag();
        let arguments = [b"all".to_vec(), limit.to_string().into()];
        let mut answer = self.run(tag, &arguments).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        let stamp = Version::new(&answer.remove(0));
        // What follows the entries says that they are all, and that none had to be left out.
        match answer.pop() {
            Some(_) => self.open(tag, answer, stamp).await.map(|snapshot| Some(Extent::Whole(snapshot))),
            None => Ok(Some(Extent::Large(stamp))),
        }
    }

    /// The entries that have one of these terms.
    pub(crate) async fn find(&self, terms: &[LookupTerm]) -> Result<Option<Snapshot>> {
        let tag = self.tag();
        let mut terms: Vec<Tag> = terms.iter().map(|term| self.head.index.term(tag, term)).collect();
        terms.sort_unstable();
        terms.dedup();
        let only = if let [term] = &terms[..] { Some(term) } else { None };
        if let Some(term) = only
            && let Some(entries) = self.inner.guesses.get(term)
            && let Some(found) = self.find_guessed(tag, term, &entries).await?
        {
            return Ok(Some(found));
        }
        let arguments: Vec<_> =
            std::iter::once(b"terms".to_vec()).chain(terms.iter().map(|term| term.to_vec())).collect();
        let mut answer = Box::pin(self.run(tag, &arguments)).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        let stamp = Version::new(&answer.remove(0));
        if let Some(term) = only {
            let entries = answer.iter().step_by(2).map(|name| tag_of(name)).collect::<Result<_>>()?;
            self.inner.guesses.note(*term, entries);
        }
        self.open(tag, answer, stamp).await.map(Some)
    }

    /// The entries that have this term, if they are these: a script takes the server several times as long as what it would
    /// find is to answer. `None`: they are others, or the script is to say what is wrong.
    async fn find_guessed(&self, tag: PartitionTag, term: &Tag, entries: &[Tag]) -> Result<Option<Snapshot>> {
        let key = self.inner.settings.prefix.partition(&tag.0);
        let mut ask = Cmd::with_capacity(6 + entries.len(), key.len() + 17 * (2 + entries.len()));
        ask.arg("HMGET").arg(key).arg("g").arg("v").arg("n").arg(&[&b"t"[..], term].concat()[..]);
        for entry in entries {
            ask.arg(&field(entry)[..]);
        }
        let Value::Array(mut answer) = self.inner.link.ask(&ask).await? else { return Err(unexpected()) };
        if answer.len() != 4 + entries.len() {
            return Err(unexpected());
        }
        let found = answer.split_off(4);
        let [Value::BulkString(random), Value::BulkString(count), Value::BulkString(size), list] = &answer[..] else {
            return Ok(None);
        };
        let is_right = match list {
            Value::BulkString(list) => *list == entries.as_flattened(),
            list => *list == Value::Nil && entries.is_empty(),
        };
        let is_sound = size.iter().all(u8::is_ascii_digit) && !size.is_empty();
        let (Some(stamp), true, true) = (stamp_of(random, count), is_sound, is_right) else { return Ok(None) };
        let mut snapshot = Snapshot { entries: Vec::with_capacity(entries.len()), unreadable: Vec::new(), stamp };
        for (entry, stored) in entries.iter().zip(found) {
            match stored {
                Value::BulkString(stored) => match self.open_one(tag, entry, stored.into(), None).await? {
                    Ok(stored) => snapshot.entries.push(stored),
                    Err(unreadable) => snapshot.unreadable.push(unreadable),
                },
                Value::Nil => {}
                _ => return Err(unexpected()),
            }
        }
        Ok(Some(snapshot))
    }

    /// The entries with these ids. `None`: none of them is there.
    pub(crate) async fn get(&self, ids: &[EntryId]) -> Result<Option<Vec<Option<Stored>>>> {
        if ids.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let tag = self.tag();
        if let [id] = ids {
            return self.get_one(tag, id).await;
        }
        let tags: Vec<Tag> = ids.iter().map(|id| self.head.index.entry(tag, id)).collect();
        let mut ask = Cmd::new();
        ask.arg("HMGET").arg(self.inner.settings.prefix.partition(&tag.0));
        for tag in &tags {
            ask.arg(&field(tag)[..]);
        }
        let Value::Array(values) = self.inner.link.ask(&ask).await? else { return Err(unexpected()) };
        if values.len() != ids.len() {
            return Err(unexpected());
        }
        if values.iter().all(|value| *value == Value::Nil) {
            return Ok(None);
        }
        let mut found = Vec::with_capacity(ids.len());
        for ((value, tag_of), id) in values.into_iter().zip(&tags).zip(ids) {
            found.push(match value {
                Value::Nil => None,
                Value::BulkString(stored) => self.open_one(tag, tag_of, stored.into(), Some(id)).await?.ok(),
                _ => return Err(unexpected()),
            });
        }
        Ok(Some(found))
    }

    /// The same of one entry, whose answer takes the client less to read.
    async fn get_one(&self, tag: PartitionTag, id: &EntryId) -> Result<Option<Vec<Option<Stored>>>> {
        let tag_of = self.head.index.entry(tag, id);
        let key = self.inner.settings.prefix.partition(&tag.0);
        let mut ask = Cmd::with_capacity(3, key.len() + 32);
        ask.arg("HGET").arg(key).arg(&field(&tag_of)[..]);
        match self.inner.link.ask(&ask).await? {
            Value::Nil => Ok(None),
            Value::BulkString(stored) => {
                let found = self.open_one(tag, &tag_of, stored.into(), Some(id)).await?;
                Ok(Some(vec![found.ok()]))
            }
            _ => Err(unexpected()),
        }
    }

    /// The stamp; `None`: nothing is stored.
    pub(crate) async fn stamp(&self) -> Result<Option<Version>> {
        let mut ask = Cmd::new();
        ask.arg("HMGET").arg(self.inner.settings.prefix.partition(&self.tag().0)).arg("g").arg("v");
        let Value::Array(fields) = self.inner.link.ask_soon(&ask).await? else { return Err(unexpected()) };
        match &fields[..] {
            [Value::Nil, _] => Ok(None),
            [Value::BulkString(random), Value::BulkString(count)] => {
                stamp_of(random, count).map(Some).ok_or_else(unexpected)
            }
            _ => Err(unexpected()),
        }
    }

    /// Deletes the partition; `None`: there was none.
    async fn unlink(&self) -> Result<Option<()>> {
        let mut unlink = Cmd::new();
        let (prefix, tag) = (&self.inner.settings.prefix, self.tag());
        unlink.arg("UNLINK").arg(prefix.partition(&tag.0)).arg(prefix.expiries(&tag.0));
        match self.inner.link.ask(&unlink).await? {
            Value::Int(0) => Ok(None),
            _ => Ok(Some(())),
        }
    }

    fn tag(&self) -> PartitionTag {
        self.inner.tag(&self.head, &self.partition)
    }

    async fn run(&self, tag: PartitionTag, arguments: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        let keys = [self.inner.settings.prefix.partition(&tag.0)];
        texts(READ.run(&self.inner.link, &keys, arguments).await?)
    }

    /// Opens what the script answers: names of fields, each with its value.
    async fn open(&self, partition: PartitionTag, fields: Vec<Vec<u8>>, stamp: Version) -> Result<Snapshot> {
        let mut snapshot = Snapshot { entries: Vec::with_capacity(fields.len() / 2), unreadable: Vec::new(), stamp };
        let mut fields = fields.into_iter();
        while let Some(name) = fields.next() {
            let stored = fields.next().ok_or_else(unexpected)?;
            let tag = tag_of(&name)?;
            match self.open_one(partition, &tag, stored.into(), None).await? {
                Ok(entry) => snapshot.entries.push(entry),
                Err(unreadable) => snapshot.unreadable.push(unreadable),
            }
        }
        Ok(snapshot)
    }

    /// The entry that is stored so under this tag; `Err` within: it cannot be read, and this stands for its id.
    ///
    /// That is also an entry whose key is not at hand: with a key that is about to come, or to go, it is as good as one that
    /// is not there. The next write heals it.
    async fn open_one(
        &self,
        partition: PartitionTag,
        tag: &Tag,
        stored: Blob,
        asked: Option<&EntryId>,
    ) -> Result<Result<Stored, EntryId>> {
        let unreadable = |kind, why| {
            self.inner.unreadable.note(partition, *tag, why, stored.expose());
            Ok(Err(unreadable_id(kind, tag)))
        };
        let Some((kind, sealed)) = decode(&stored) else { return unreadable(0, Why::Damaged) };
        let protector = self.inner.settings.protection.protector();
        if let Some(protector) = protector
            && !protector.is_prepared(sealed.value.expose())
        {
            Box::pin(self.prepare(sealed.value.clone())).await?;
        }
        let index = &self.head.index;
        // The tag of what was asked for is that of its id.
        let is_named_so = |entry: &Entry| match asked {
            Some(asked) => entry.id == *asked,
            None => index.entry(partition, &entry.id) == *tag,
        };
        // Of a plaintext entry, which nothing else binds to what stands beside it.
        let is_whole = |entry: &Entry| sealed.has_content_of(entry, index, partition);
        match sealed.open(NAME, protector, &self.partition, tag, asked, is_whole) {
            // Sealed bytes are bound to their partition and tag, not to the store: one with the same key may have been copied from.
            Ok(stored) if !is_named_so(&stored.entry) => unreadable(kind, Why::Damaged),
            Ok(stored) => Ok(Ok(stored)),
            Err(error) => match why(error.kind()) {
                Some(why) => unreadable(kind, why),
                None => Err(error),
            },
        }
    }

    /// Has the key for these bytes, which may take long. If there is none, opening them says so.
    async fn prepare(&self, protected: Blob) -> Result<()> {
        let protection = self.inner.settings.protection.clone();
        let prepare =
            move || protection.protector().map_or(Ok(()), |of: &dyn Protector| of.prepare(Some(protected.expose())));
        match blocking_work::run(prepare).await {
            Err(error) if why(error.kind()).is_none() => Err(error),
            _ => Ok(()),
        }
    }
}

/// Why an entry cannot be read that is opened with such an error; `None`: nobody knows.
fn why(kind: ErrorKind) -> Option<Why> {
    match kind {
        ErrorKind::Corrupt | ErrorKind::Unsupported => Some(Why::Damaged),
        ErrorKind::KeyUnavailable | ErrorKind::Undecryptable => Some(Why::OtherKey),
        _ => None,
    }
}

/// The stamp of a partition with these fields, as the scripts answer it. `None`: they are none.
fn stamp_of(random: &[u8], count: &[u8]) -> Option<Version> {
    if random.len() != 16 {
        return None;
    }
    let count = std::str::from_utf8(count).ok().and_then(|count| count.parse().ok());
    Some(Version::new(&[random, &count.unwrap_or(0_u64).to_be_bytes()].concat()))
}

/// The tag of the entry in this field.
fn tag_of(field: &[u8]) -> Result<Tag> {
    field.split_first().and_then(|(_, tag)| Tag::try_from(tag).ok()).ok_or_else(unexpected)
}

/// The field of the entry with this tag.
fn field(tag: &Tag) -> [u8; 17] {
    let mut field = [b'e'; 17];
    field[1..].copy_from_slice(tag);
    field
}

/// The texts that a script answers.
pub(crate) fn texts(answer: Value) -> Result<Vec<Vec<u8>>> {
    let Value::Array(values) = answer else { return Err(unexpected()) };
    let text = |value| match value {
        Value::BulkString(text) => Ok(text),
        _ => Err(unexpected()),
    };
    values.into_iter().map(text).collect()
}
