//! Which partitions there are: the keys of the other library keep no list, so that every server is searched.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cache_core::{PartitionKey, Result};
use futures_util::future::try_join_all;
use redis::cluster_routing::Slot;
use redis::{Cmd, Value};

use super::belonging::may_hold;
use super::layout::Names;
use super::{Shared, Sharing};
use crate::error::unexpected;
use crate::reading::texts;
use crate::script::SCAN;

/// A page of the partitions that hold something, in the order of their keys; with an account, of those that may hold it.
pub(super) async fn partitions(
    shared: &Arc<Shared>,
    home_account_id: Option<&str>,
    mut after: Option<Vec<u8>>,
    limit: usize,
) -> Result<Vec<PartitionKey>> {
    /// So many are looked at side by side.
    const AT_ONCE: usize = 64;
    let mut found = Vec::new();
    while found.len() < limit {
        let keys = keys(shared, home_account_id, after.as_deref(), limit - found.len()).await?;
        let Some(last) = keys.last() else { break };
        after = Some(last.clone());
        let partitions: Vec<PartitionKey> = keys.iter().filter_map(|key| shared.names.partition(key)).collect();
        for partitions in partitions.chunks(AT_ONCE) {
            let is_there = try_join_all(partitions.iter().map(|partition| holds_something(shared, partition))).await?;
            found.extend(partitions.iter().zip(is_there).filter(|(_, is_there)| *is_there).map(|(key, _)| key.clone()));
        }
    }
    Ok(found)
}

/// The keys of documents behind this one, in order, as many as asked for; with an account, of those that may hold it.
async fn keys(
    shared: &Shared,
    home_account_id: Option<&str>,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<BTreeSet<Vec<u8>>> {
    let Names { layout, .. } = &shared.names;
    let may_hold = |partition: &PartitionKey| home_account_id.is_none_or(|account| may_hold(partition, account));
    let mut found = BTreeSet::new();
    for server in servers(shared).await? {
        let mut cursor = b"0".to_vec();
        loop {
            let arguments = [cursor, shared.names.pattern(), layout.kind().into()];
            let mut page = texts(SCAN.run(&shared.inner.link, std::slice::from_ref(&server), &arguments).await?)?;
            if page.is_empty() {
                return Err(unexpected());
            }
            let rest = page.split_off(1);
            cursor = page.swap_remove(0);
            let is_asked_for = |key: &Vec<u8>| {
                after.is_none_or(|after| &**key > after) && shared.names.partition(key).as_ref().is_some_and(may_hold)
            };
            for key in rest.into_iter().filter(is_asked_for) {
                found.insert(key);
                if found.len() > limit {
                    found.pop_last();
                }
            }
            if cursor == b"0" {
                break;
            }
        }
    }
    Ok(found)
}

/// A key for each server, by which a script runs there.
async fn servers(shared: &Shared) -> Result<Vec<Vec<u8>>> {
    /// Many times as many as meet the one slot of a server.
    const MOST_KEYS: usize = 1 << 20;
    let named = |n: usize| shared.names.ours.beside(format!("{n}").as_bytes())[1].clone();
    if !shared.names.is_cluster {
        return Ok(vec![named(0)]);
    }
    let mut ask = Cmd::new();
    ask.arg("CLUSTER").arg("SLOTS");
    let Value::Array(ranges) = shared.inner.link.ask(&ask).await? else { return Err(unexpected()) };
    let (mut by_slot, mut unmet) = (HashMap::new(), BTreeSet::new());
    for range in ranges {
        let Value::Array(range) = range else { return Err(unexpected()) };
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = &range[..] else {
            return Err(unexpected());
        };
        let server = format!("{:?}", primary.get(..2));
        for slot in *first..=*last {
            let slot = u16::try_from(slot).ok().and_then(Slot::new).ok_or_else(unexpected)?;
            by_slot.insert(slot, server.clone());
            unmet.insert(server.clone());
        }
    }
    let mut servers = Vec::new();
    for n in 0..MOST_KEYS {
        if unmet.is_empty() {
            return Ok(servers);
        }
        let key = named(n);
        if by_slot.get(&Slot::for_key(&key)).is_some_and(|server| unmet.remove(server)) {
            servers.push(key);
        }
    }
    Err(unexpected())
}

/// Whether the partition holds something; what cannot be read counts.
async fn holds_something(shared: &Arc<Shared>, partition: &PartitionKey) -> Result<bool> {
    use cache_core::ErrorKind::{Corrupt, Unsupported};
    let keys = shared.names.keys(partition)?;
    let sharing = Sharing { shared: Arc::clone(shared), partition: partition.clone(), keys, fencing: None };
    match sharing.stamp().await {
        Ok(stamp) => Ok(stamp.is_some()),
        Err(error) if matches!(error.kind(), Corrupt | Unsupported) => Ok(true),
        Err(error) => Err(error),
    }
}
