//! The servers whose changes are watched: each primary, by connections that can be told something unasked.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::sentinel::SentinelClient;
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, RedisResult, Value};

use crate::access::Access;

/// How the primaries are found. All clients speak RESP3.
pub(crate) enum Primaries {
    One(Client),
    /// A client of the sentinels apart from the store's, which must not wait for this one.
    Sentinel(tokio::sync::Mutex<SentinelClient>),
    /// Some nodes of the cluster, and what is shown to all of them.
    Cluster(Vec<ConnectionInfo>, Access),
}

/// Clients by their addresses.
pub(crate) type Clients = BTreeMap<String, Client>;

impl Primaries {
    /// The primaries, as the sentinels or the first node of the cluster that answers knows them.
    pub(crate) async fn find(&self, config: &AsyncConnectionConfig) -> RedisResult<Clients> {
        match self {
            Self::One(client) => Ok(by_address([client.clone()])),
            Self::Sentinel(sentinels) => Ok(by_address([sentinels.lock().await.async_get_client().await?])),
            Self::Cluster(nodes, access) => {
                let mut found = Ok(Clients::new());
                for node in nodes {
                    found = primaries_by(node, access, config).await;
                    if found.is_ok() {
                        break;
                    }
                }
                found
            }
        }
    }

    /// Whether these are still the primaries: as the sentinels know them, or each of these in a cluster. Sentinels that cannot be
    /// asked know no other one.
    pub(crate) async fn are(&self, present: &Clients, connections: &mut [MultiplexedConnection]) -> RedisResult<bool> {
        let is_same = |found: &Clients| found.keys().eq(present.keys());
        match self {
            Self::One(_) => Ok(true),
            Self::Sentinel(sentinels) => {
                let found = sentinels.lock().await.async_get_client().await;
                Ok(found.map_or(true, |found| is_same(&by_address([found]))))
            }
            Self::Cluster(_, access) => {
                let asked = present.values().zip(connections);
                let found = asked.map(|(client, connection)| slots(client.get_connection_info(), access, connection));
                Ok(try_join_all(found).await?.iter().all(is_same))
            }
        }
    }
}

async fn primaries_by(node: &ConnectionInfo, access: &Access, config: &AsyncConnectionConfig) -> RedisResult<Clients> {
    let client = access.client(node.clone())?;
    let mut connection = client.get_multiplexed_async_connection_with_config(config).await?;
    slots(node, access, &mut connection).await
}

/// The primaries that the node knows.
async fn slots(node: &ConnectionInfo, access: &Access, connection: &mut MultiplexedConnection) -> RedisResult<Clients> {
    let mut ask = Cmd::new();
    ask.arg("CLUSTER").arg("SLOTS");
    let answer = connection.req_packed_command(&ask).await?.extract_error()?;
    // One that is not known is not watched.
    let addresses = primaries_in(answer, node.addr()).filter(|addresses| !addresses.is_empty());
    let unknown = (ErrorKind::ClusterConnectionNotFound, "the node does not know all primaries");
    let addresses = addresses.ok_or(unknown)?.into_iter();
    let clients = addresses.map(|address| access.client(node.clone().set_addr(address)));
    clients.collect::<RedisResult<Vec<_>>>().map(by_address)
}

/// The primaries' addresses in an answer of `CLUSTER SLOTS`: ranges of the first slot, the last slot, the primary and its
/// replicas (redis/redis, src/cluster.c). A node that names no host means the one that it was asked at. `None`: one of them
/// cannot be read.
fn primaries_in(answer: Value, asked: &ConnectionAddr) -> Option<Vec<ConnectionAddr>> {
    let Value::Array(ranges) = answer else { return None };
    let primary = |range: Value| {
        let Value::Array(range) = range else { return None };
        let Some(Value::Array(node)) = range.into_iter().nth(2) else { return None };
        let [host, Value::Int(port), ..] = &node[..] else { return None };
        let port = u16::try_from(*port).ok()?;
        let host = match host {
            Value::BulkString(host) if !host.is_empty() => Some(String::from_utf8_lossy(host).into_owned()),
            Value::SimpleString(host) if !host.is_empty() => Some(host.clone()),
            _ => None,
        };
        at(asked, host, port)
    };
    ranges.into_iter().map(primary).collect()
}

/// The same address with another host, if there is one, and port; `None`: it has neither.
fn at(address: &ConnectionAddr, other: Option<String>, other_port: u16) -> Option<ConnectionAddr> {
    let mut address = address.clone();
    match &mut address {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            *port = other_port;
            if let Some(other) = other {
                *host = other;
            }
            Some(address)
        }
        _ => None,
    }
}

fn by_address(clients: impl IntoIterator<Item = Client>) -> Clients {
    clients.into_iter().map(|client| (client.get_connection_info().addr().to_string(), client)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primaries_are_read_from_what_a_node_of_a_cluster_says() {
        let text = |text: &str| Value::BulkString(text.into());
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id")]);
        let range = |primary, replica| Value::Array(vec![Value::Int(0), Value::Int(9), primary, replica]);
        let whole = [
            range(node(text("10.0.0.1"), 7000), node(text("10.0.0.4"), 7003)),
            range(node(Value::Nil, 7001), node(text("10.0.0.5"), 7004)),
        ];
        let asked = ConnectionAddr::Tcp("asked".into(), 1);
        let found = primaries_in(Value::Array(whole.to_vec()), &asked).expect("they can be read");
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.1:7000", "asked:7001"]);
        assert_eq!(primaries_in(Value::Array(whole.to_vec()), &ConnectionAddr::Unix("/socket".into())), None);
        for damaged in [Value::Nil, range(node(text("10.0.0.3"), 70_000), Value::Nil)] {
            let answer = Value::Array(whole.iter().cloned().chain([damaged.clone()]).collect());
            assert_eq!(primaries_in(answer, &asked), None, "{damaged:?}");
        }
    }
}
