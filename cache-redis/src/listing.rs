//! The list of partitions: 256 sorted sets, by the first byte of the tag, so that none grows too large and a cluster spreads
//! them.
//!
//! And the partitions that may hold an account, a sorted set for each account, by the time until which they may.
//!
//! A partition is listed before it is made, and taken from the list when somebody finds it gone: who reads the list, or makes
//! another partition. So the list has all that are there, and some that are not.

use std::collections::{BTreeMap, HashMap};
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
use crate::script::{LIST, LIST_ACCOUNT, UNLIST};

/// Lists the partition.
pub(crate) async fn list(inner: &Arc<Inner>, tag: &Tag) -> Result<()> {
    let oldest = ask_to_list(inner, tag).await?;
    if !oldest.is_empty() {
        tokio::spawn(review(Arc::clone(inner), oldest));
    }
    Ok(())
}

/// Lists the partition with an account that it may hold until then, in ms of the scripts' clock.
pub(crate) async fn list_account(inner: &Inner, account: &Tag, partition: &Tag, until: &[u8]) -> Result<()> {
    let arguments = [inner.script_clock(), partition.to_vec(), until.to_vec()];
    LIST_ACCOUNT.run(&inner.link, &[inner.settings.prefix.account(account)], &arguments).await.map(drop)
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
            let (present, gone) = present(inner, head, &listed).await?;
            found.extend(present);
            if !gone.is_empty() {
                unlist(inner, bucket, &gone).await?;
            }
        }
        after = None;
    }
    Ok(found)
}

/// A page of the partitions that are there and may hold the account, and of those that may when what is `queued` is written,
/// in the order of their tags.
pub(crate) async fn partitions_with(
    inner: &Inner,
    head: &Head,
    home_account_id: &str,
    queued: &[PartitionKey],
    after: Option<&PartitionKey>,
    limit: usize,
) -> Result<Vec<PartitionKey>> {
    let after = after.map(|after| head.index.partition(after).0);
    let mut ask = Cmd::new();
    let account = head.index.account_anywhere(home_account_id);
    ask.arg("ZRANGEBYSCORE").arg(inner.settings.prefix.account(&account)).arg("-inf").arg("+inf");
    let queued: HashMap<Tag, &PartitionKey> = queued.iter().map(|key| (head.index.partition(key).0, key)).collect();
    let mut listed = tags(inner.link.ask(&ask).await?)?;
    listed.extend(queued.keys());
    listed.retain(|tag| after.is_none_or(|after| after < *tag));
    listed.sort_unstable();
    listed.dedup();
    let mut found = Vec::new();
    for some in listed.chunks(limit.clamp(1, MOST)) {
        if found.len() >= limit {
            break;
        }
        let asked: Vec<Tag> = some.iter().filter(|tag| !queued.contains_key(*tag)).copied().collect();
        let (present, _) = present(inner, head, &asked).await?;
        let present = present.into_iter().map(|key| (head.index.partition(&key).0, key));
        let waiting = some.iter().filter_map(|tag| Some((*tag, PartitionKey::clone(queued.get(tag)?))));
        found.extend(present.chain(waiting).collect::<BTreeMap<_, _>>().into_values());
    }
    found.truncate(limit);
    Ok(found)
}

/// Those of the partitions that are there, and the tags of the others.
async fn present(inner: &Inner, head: &Head, listed: &[Tag]) -> Result<(Vec<PartitionKey>, Vec<Vec<u8>>)> {
    let names = try_join_all(listed.iter().map(|tag| name(inner, tag))).await?;
    let (mut present, mut gone) = (Vec::new(), Vec::new());
    for (tag, name) in listed.iter().zip(names) {
        let Some(name) = name else {
            gone.push(tag.to_vec());
            continue;
        };
        let key = open_name(NAME, inner.settings.protection.protector(), &name)?;
        // One of an earlier head, which nobody can find any more, goes when it expires.
        if head.index.partition(&key).0 == *tag {
            present.push(key);
        }
    }
    Ok((present, gone))
}

/// So many partitions are asked for at once.
const MOST: usize = 1_000;

/// The next listed partitions of a bucket.
async fn page(inner: &Inner, bucket: u8, after: Option<Tag>, limit: usize) -> Result<Vec<Tag>> {
    let from = after.map_or_else(|| b"-".to_vec(), |after| [&b"("[..], &after].concat());
    let [listed, _] = inner.settings.prefix.listed(bucket);
    let mut ask = Cmd::new();
    ask.arg("ZRANGEBYLEX").arg(listed).arg(from).arg("+").arg("LIMIT").arg(0).arg(limit.min(MOST));
    let tags = tags(inner.link.ask(&ask).await?)?;
    // Always onward: nobody is led in circles.
    let is_onward = after.iter().chain(&tags).is_sorted_by(|one, next| one < next);
    if is_onward { Ok(tags) } else { Err(unexpected()) }
}

fn tags(answer: Value) -> Result<Vec<Tag>> {
    texts(answer)?.into_iter().map(|tag| Tag::try_from(&tag[..]).map_err(|_| unexpected())).collect()
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
