//! The list of partitions: 256 sorted sets, by the first byte of the tag, so that none grows too large and a cluster spreads
//! them.
//!
//! A partition is listed before it is made, and taken from the list when somebody finds it gone: who reads the list, or makes
//! another partition. So the list has all that are there, and some that are not.

use std::sync::Arc;

use cache_core::{Error, ErrorKind, PartitionKey, Result};
use cache_crypto::rows::{Tag, open_name};
use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use crate::NAME;
use crate::error::unexpected;
use crate::head::Head;
use crate::inner::Inner;
use crate::reading::texts;
use crate::script::{LIST, UNLIST};

/// Lists the partition.
pub(crate) async fn list(inner: &Arc<Inner>, tag: &Tag) -> Result<()> {
    let oldest = ask_to_list(inner, tag).await?;
    if !oldest.is_empty() {
        tokio::spawn(review(Arc::clone(inner), oldest));
    }
    Ok(())
}

/// Lists the partition; answers some that were listed long ago.
async fn ask_to_list(inner: &Inner, tag: &Tag) -> Result<Vec<Vec<u8>>> {
    texts(LIST.run(&inner.link, &inner.settings.prefix.listed(tag[0]), &[tag.to_vec()]).await?)
}

/// Lists partitions anew, or takes them from the list if they are gone. More of them than are made, so that the list does not
/// grow for ever where nobody reads it.
async fn review(inner: Arc<Inner>, tags: Vec<Vec<u8>>) {
    for tag in tags.iter().filter_map(|tag| Tag::try_from(&tag[..]).ok()) {
        let reviewed = match name(&inner, &tag).await {
            Ok(Some(_)) => ask_to_list(&inner, &tag).await.map(drop),
            Ok(None) => unlist(&inner, tag[0], &[tag.to_vec()]).await,
            Err(error) => Err(error),
        };
        // Who makes the next partition comes upon it again.
        drop(reviewed);
    }
}

async fn unlist(inner: &Inner, bucket: u8, tags: &[Vec<u8>]) -> Result<()> {
    UNLIST.run(&inner.link, &inner.settings.prefix.listed(bucket), tags).await.map(drop)
}

/// A page of the partitions that are there, in the order of their tags.
pub(crate) async fn partitions(
    inner: &Inner,
    head: &Head,
    after: Option<&PartitionKey>,
    limit: usize,
) -> Result<Vec<PartitionKey>> {
    let mut after = after.map(|after| head.index.partition(after).0);
    let mut found = Vec::new();
    for bucket in after.map_or(0, |after| after[0])..=u8::MAX {
        while found.len() < limit {
            let listed = page(inner, bucket, after, limit - found.len()).await?;
            let Some(last) = listed.last() else { break };
            after = Some(*last);
            let names = try_join_all(listed.iter().map(|tag| name(inner, tag))).await?;
            let mut gone = Vec::new();
            for (tag, name) in listed.iter().zip(names) {
                match name {
                    Some(name) => {
                        let key = open_name(NAME, inner.settings.protection.protector(), &name)?;
                        // One of an earlier head, which nobody can find any more, goes when it expires.
                        if head.index.partition(&key).0 == *tag {
                            found.push(key);
                        }
                    }
                    None => gone.push(tag.to_vec()),
                }
            }
            if !gone.is_empty() {
                unlist(inner, bucket, &gone).await?;
            }
        }
        after = None;
    }
    Ok(found)
}

/// The next listed partitions of a bucket.
async fn page(inner: &Inner, bucket: u8, after: Option<Tag>, limit: usize) -> Result<Vec<Tag>> {
    /// So many at once.
    const MOST: usize = 1_000;
    let from = after.map_or_else(|| b"-".to_vec(), |after| [&b"("[..], &after].concat());
    let [listed, _] = inner.settings.prefix.listed(bucket);
    let mut ask = Cmd::new();
    ask.arg("ZRANGEBYLEX").arg(listed).arg(from).arg("+").arg("LIMIT").arg(0).arg(limit.min(MOST));
    let tags = texts(inner.link.ask(&ask).await?)?;
    let tags: Vec<Tag> =
        tags.into_iter().map(|tag| Tag::try_from(&tag[..]).map_err(|_| unexpected())).collect::<Result<_>>()?;
    // Always onward: nobody is led in circles.
    let is_onward = after.iter().chain(&tags).is_sorted_by(|one, next| one < next);
    if is_onward { Ok(tags) } else { Err(unexpected()) }
}

/// The partition's name as it is stored; `None`: it is not there.
async fn name(inner: &Inner, tag: &Tag) -> Result<Option<Vec<u8>>> {
    let mut ask = Cmd::new();
    ask.arg("HGET").arg(inner.settings.prefix.partition(tag)).arg("m");
    match inner.link.ask(&ask).await? {
        Value::Nil => Ok(None),
        Value::BulkString(name) => Ok(Some(name)),
        _ => Err(Error::new(ErrorKind::Corrupt, "the name of a partition is not what this program writes")),
    }
}
