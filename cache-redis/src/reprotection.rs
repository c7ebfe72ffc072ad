//! Another key for everything, while others read and write.

use std::sync::Arc;

use cache_core::{Blob, Error, ErrorKind, PartitionKey, Protector, Result, blocking_work};
use cache_crypto::rows::{Tag, seal_name};
use redis::{Cmd, Value};

use crate::NAME;
use crate::error::unexpected;
use crate::head::Head;
use crate::inner::{Inner, named};
use crate::listing::partitions;
use crate::reading::texts;
use crate::running::to_its_end;
use crate::script::RESEAL;
use crate::store::RedisStore;
use crate::stored::{decode, with_value};

/// Partitions per page, and entries per request, about.
const PAGE: usize = 500;
const BATCH: usize = 100;

impl RedisStore {
    /// Protects everything anew, with the key that the protector writes with now, and answers how many entries that were.
    /// After a key ring was rotated in every process and this has returned, the old key is needed no more.
    ///
    /// In batches: nobody waits, and what others write meanwhile is kept. What is stored does not change by it, nor does any
    /// stamp. `InvalidInput`: the store is plaintext. Another error: an entry could not be opened or written; those before it
    /// are done, and calling again does all.
    pub async fn reprotect(&self) -> Result<usize> {
        let inner = self.shared();
        to_its_end(&inner, reprotect(Arc::clone(&inner))).await.map_err(named)
    }
}

async fn reprotect(inner: Arc<Inner>) -> Result<usize> {
    let protection = inner.settings.protection.clone();
    let Some(protector) = inner.settings.protection.protector() else {
        return Err(Error::new(ErrorKind::InvalidInput, "the store is plaintext; there is no key to change"));
    };
    blocking_work::run(move || protection.protector().map_or(Ok(()), |protector| protector.prepare(None))).await?;
    let Some(head) = inner.head().find().await? else { return Ok(0) };
    // First what opens the rest: who has the new key alone can open the store from here on.
    let head = inner.head().reseal(&head).await?;
    let (mut done, mut after) = (0, None);
    loop {
        let page = partitions(&inner, &head, after.as_ref(), PAGE).await?;
        for partition in &page {
            done += reseal(&inner, &head, protector, partition).await?;
        }
        match page.last() {
            Some(last) => after = Some(last.clone()),
            None => return Ok(done),
        }
    }
}

/// Reseals a partition; answers how many entries that were.
async fn reseal(inner: &Inner, head: &Head, protector: &dyn Protector, partition: &PartitionKey) -> Result<usize> {
    let tag = head.index.partition(partition);
    let key = inner.settings.prefix.partition(&tag.0);
    let (mut done, mut cursor) = (0, b"0".to_vec());
    loop {
        let mut scan = Cmd::new();
        scan.arg("HSCAN").arg(&key).arg(&cursor).arg("COUNT").arg(BATCH);
        let Value::Array(answer) = inner.link.ask(&scan).await? else { return Err(unexpected()) };
        let Ok([Value::BulkString(next), fields]) = <[Value; 2]>::try_from(answer) else { return Err(unexpected()) };
        let (mut arguments, mut names) = (Vec::new(), 0);
        let mut fields = texts(fields)?.into_iter();
        while let (Some(field), Some(stored)) = (fields.next(), fields.next().map(Blob::new)) {
            let resealed = match &field[..] {
                b"m" => {
                    names += 1;
                    Some(seal_name(NAME, Some(protector), partition)?)
                }
                [b'e', tag @ ..] => match <&Tag>::try_from(tag) {
                    Ok(tag) => resealed(protector, partition, tag, &stored)?,
                    Err(_) => None,
                },
                _ => None,
            };
            arguments.extend(resealed.into_iter().flat_map(|new| [field.clone(), stored.expose().to_vec(), new]));
        }
        if !arguments.is_empty() {
            let Value::Int(replaced) = RESEAL.run(&inner.link, std::slice::from_ref(&key), &arguments).await? else {
                return Err(unexpected());
            };
            done += usize::try_from(replaced).unwrap_or(0).saturating_sub(names);
        }
        if next == b"0" {
            return Ok(done);
        }
        cursor = next;
    }
}

/// What is to be stored in the place of `stored`; `None`: it is damaged, and opens with no key.
fn resealed(protector: &dyn Protector, partition: &PartitionKey, tag: &Tag, stored: &Blob) -> Result<Option<Vec<u8>>> {
    let Some((_, sealed)) = decode(stored) else { return Ok(None) };
    match sealed.sealed_again(NAME, protector, partition, tag) {
        Ok(value) => Ok(with_value(stored, &value)),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        Err(error) => Err(error),
    }
}
