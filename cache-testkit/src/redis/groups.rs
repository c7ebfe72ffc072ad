//! Servers that belong together: a cluster, and a primary that sentinels watch.

use super::reply::Reply;
use super::server::{Options, Server};
use super::wait_until;

/// A cluster of three primaries, each with a replica.
///
/// When a primary does not answer for 3 seconds its replica takes its place.
#[derive(Debug)]
pub struct Cluster(Vec<Server>);

impl Cluster {
    const PRIMARIES: usize = 3;
    const SLOTS: usize = 16_384;

    /// Starts a cluster; returns when every node knows of all the others, every slot is served, and the replicas have
    /// what their primaries have.
    ///
    /// # Panics
    /// As [`Options::start`].
    pub fn start() -> Self {
        let options =
            Options::cluster_node().setting("cluster-node-timeout 3000").setting("cluster-announce-ip 127.0.0.1");
        let cluster = Self((0..2 * Self::PRIMARIES).map(|_| options.clone().start()).collect());
        let (primaries, replicas) = cluster.0.split_at(Self::PRIMARIES);
        for (n, primary) in primaries.iter().enumerate() {
            let [first, next] = [n, n + 1].map(|n| n * Self::SLOTS / Self::PRIMARIES);
            expect_ok(primary, &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &(next - 1).to_string()]);
            expect_ok(primary, &["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
        }
        let [first, others @ ..] = &*cluster.0 else { unreachable!("there are six") };
        for node in others {
            let [port, bus_port] = [node.port(), node.bus_port()].map(|port| port.to_string());
            expect_ok(first, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port]);
        }
        for (primary, replica) in primaries.iter().zip(replicas) {
            let id = primary.command(&["CLUSTER", "MYID"]).to_string();
            // Refused until the replica has heard of the primary.
            wait_until("the replica knows its primary", || is_ok(&replica.command(&["CLUSTER", "REPLICATE", &id])));
        }
        wait_until("the cluster is whole", || cluster.0.iter().all(Self::sees_all));
        wait_until("replicas are attached", || replicas.iter().all(is_attached));
        cluster
    }

    /// How clients reach each node, the primaries first.
    pub fn urls(&self) -> Vec<String> {
        self.0.iter().map(Server::url).collect()
    }

    /// The nodes, the first primaries first.
    pub fn nodes(&self) -> &[Server] {
        &self.0
    }

    /// The nodes, to kill and restart them.
    pub fn nodes_mut(&mut self) -> &mut [Server] {
        &mut self.0
    }

    /// The node that now serves the key, as the first node knows it that is neither killed nor stopped.
    ///
    /// # Panics
    /// If there is none.
    pub fn primary_of(&mut self, key: &str) -> &mut Server {
        let asked = self.0.iter().find(|node| node.answers()).expect("a node answers");
        let slot = integer(&asked.command(&["CLUSTER", "KEYSLOT", key]));
        let ranges = asked.command(&["CLUSTER", "SLOTS"]);
        let range = ranges.items().iter().map(Reply::items).find(|range| {
            let [first, last, ..] = range else { return false };
            (integer(first)..=integer(last)).contains(&slot)
        });
        // First slot, last slot, then the address of the primary and those of its replicas.
        let port = integer(&range.expect("every slot is served")[2].items()[1]);
        self.0.iter_mut().find(|node| i64::from(node.port()) == port).expect("a node of this cluster")
    }

    /// Returns once another node than the one at this port serves the key.
    ///
    /// # Panics
    /// If that does not come within [`DEADLINE`](crate::process::DEADLINE).
    pub fn wait_for_fail_over_from(&mut self, port: u16, key: &str) {
        wait_until("another node serves the key", || {
            let primary = self.primary_of(key);
            primary.port() != port && primary.answers() && serves(primary)
        });
    }

    /// Whether the node knows the whole cluster, replicas included, and serves.
    fn sees_all(node: &Server) -> bool {
        let slots = node.command(&["CLUSTER", "SLOTS"]);
        let whole = slots.items().iter().filter(|range| range.items().len() == 4).count() == Self::PRIMARIES;
        whole && serves(node)
    }
}

/// A primary with a replica, and three sentinels.
///
/// When the primary does not answer for 3 seconds they put the replica in its place. When sentinels change the role of a node they close all its connections: [`Server::command`] panics if that hits it.
/// Who asks a node while that may happen asks by [`Server::connect`], and again if there is no answer.
#[derive(Debug)]
pub struct Sentinels {
    nodes: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Sentinels {
    /// What the sentinels call the primary: the service name that clients ask for.
    pub const NAME: &str = "tokens";

    /// Starts all five; returns when each sentinel knows the replica and both other sentinels.
    ///
    /// # Panics
    /// As [`Options::start`].
    pub fn start() -> Self {
        let primary = Server::start();
        let port = primary.port().to_string();
        let replica = Server::options().setting(&format!("replicaof 127.0.0.1 {port}")).start();
        wait_until("the replica is attached", || is_attached(&replica));
        let name = Self::NAME;
        let options = Options::sentinel()
            .setting(&format!("sentinel monitor {name} 127.0.0.1 {port} 2"))
            // Sentinels ask once a second: with less they may take the new primary for gone before its first answer.
            .setting(&format!("sentinel down-after-milliseconds {name} 3000"))
            .setting(&format!("sentinel failover-timeout {name} 5000"));
        let sentinels: Vec<Server> = (0..3).map(|_| options.clone().start()).collect();
        for sentinel in &sentinels {
            // In milliseconds. By default a primary that comes back is made a replica after 10 seconds.
            expect_ok(sentinel, &["SENTINEL", "DEBUG", "info-period", "500", "publish-period", "500"]);
        }
        wait_until("sentinels know each other", || sentinels.iter().all(Self::knows_all));
        Self { nodes: vec![primary, replica], sentinels }
    }

    /// How clients reach the sentinels.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::url).collect()
    }

    /// The primary and the replica, in the roles that they began with.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The primary and the replica, to kill and restart them.
    pub fn nodes_mut(&mut self) -> &mut [Server] {
        &mut self.nodes
    }

    /// The sentinels.
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// The sentinels, to kill and restart them.
    pub fn sentinels_mut(&mut self) -> &mut [Server] {
        &mut self.sentinels
    }

    /// The node that all sentinels name as the primary, but for those that are killed or stopped; `None` while they differ.
    pub fn primary(&mut self) -> Option<&mut Server> {
        let mut ports = self.sentinels.iter().filter(|sentinel| sentinel.answers()).map(|sentinel| {
            let address = sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::NAME]);
            address.items().last().map(Reply::to_string)
        });
        let port = ports.next()??;
        if !ports.all(|other| other.as_ref() == Some(&port)) {
            return None;
        }
        drop(ports);
        self.nodes.iter_mut().find(|node| node.port().to_string() == port)
    }

    /// Returns once all sentinels name another primary than the one at this port, and it takes writes.
    ///
    /// # Panics
    /// If that does not come within [`DEADLINE`](crate::process::DEADLINE).
    pub fn wait_for_fail_over_from(&mut self, port: u16) {
        wait_until("another node is the primary", || {
            let primary = self.primary().filter(|primary| primary.port() != port && primary.answers());
            // By a connection that may be closed meanwhile.
            let role = primary.and_then(|primary| primary.connect().command(&["ROLE"]).ok());
            role.is_some_and(|role| role.items()[0].to_string() == "master")
        });
    }

    fn knows_all(sentinel: &Server) -> bool {
        let primary = sentinel.command(&["SENTINEL", "MASTER", Self::NAME]);
        [("flags", "master"), ("num-slaves", "1"), ("num-other-sentinels", "2")]
            .into_iter()
            .all(|(name, value)| primary.field(name).as_deref() == Some(value))
    }
}

/// Whether a node of a cluster takes commands on keys.
fn serves(node: &Server) -> bool {
    node.command(&["CLUSTER", "INFO"]).field("cluster_state").as_deref() == Some("ok")
}

/// Whether a replica has what its primary has, and hears what it writes.
fn is_attached(replica: &Server) -> bool {
    replica.command(&["INFO", "replication"]).field("master_link_status").as_deref() == Some("up")
}

fn expect_ok(server: &Server, command: &[&str]) {
    let reply = server.command(command);
    assert!(is_ok(&reply), "{command:?}: {reply}");
}

fn is_ok(reply: &Reply) -> bool {
    *reply == Reply::Status("OK".into())
}

fn integer(reply: &Reply) -> i64 {
    let Reply::Integer(number) = reply else { panic!("not a number: {reply}") };
    *number
}
