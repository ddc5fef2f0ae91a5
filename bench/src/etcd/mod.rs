//! The reference for orders: etcd, three nodes with default settings, on the same machine and disk.

mod outage;
mod puts;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use etcd_client::Client;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::hyper_server::free_address;

pub(crate) use outage::EtcdWriters;
pub(crate) use puts::{EtcdConnections, PutLoad, VALUE_BYTES};

/// The nodes of the cluster: as many as the store has order replicas.
const NODES: usize = 3;

/// An election of etcd takes one to two seconds; more on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often the nodes are asked for their leader.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long a node may take to return its status.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// The index of a node, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeIndex(usize);

/// A running cluster. Its processes are killed when it is dropped.
pub(crate) struct EtcdCluster {
    nodes: Vec<Node>,
    /// The value of `--initial-cluster`.
    peers: String,
}

impl EtcdCluster {
    /// Starts a cluster with its files in `dir`, which is created, and waits until it has a leader.
    pub(crate) async fn start(dir: &Path) -> Result<Self> {
        let configs = (0..NODES).map(|node| NodeConfig::new(dir, node)).collect::<Result<Vec<_>>>()?;
        let peers: Vec<_> = configs.iter().map(|config| format!("{}={}", config.name, config.peer_url)).collect();
        let peers = peers.join(",");
        let nodes = configs.into_iter().map(|config| Node::start(config, &peers)).collect::<Result<_>>()?;
        let cluster = Self { nodes, peers };
        cluster.leader().await?;
        Ok(cluster)
    }

    /// The client URLs of all nodes.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.config.client_url.clone()).collect()
    }

    /// The client URL of a node.
    pub(crate) fn endpoint(&self, node: NodeIndex) -> &str {
        &self.nodes[node.0].config.client_url
    }

    /// Waits until all nodes agree on a leader.
    ///
    /// # Errors
    /// If they do not within [`TIMEOUT`].
    pub(crate) async fn leader(&self) -> Result<NodeIndex> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let statuses = futures::future::join_all(self.nodes.iter().map(Node::status)).await;
            if let Some(statuses) = statuses.into_iter().collect::<Option<Vec<_>>>() {
                let leader = statuses[0].leader;
                if leader != 0
                    && statuses.iter().all(|status| status.leader == leader)
                    && let Some(node) = statuses.iter().position(|status| status.id == leader)
                {
                    return Ok(NodeIndex(node));
                }
            }
            if Instant::now() > deadline {
                bail!("etcd has no leader after {} s", TIMEOUT.as_secs());
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Kills a node with `kill -9`, and waits until its process has ended.
    pub(crate) async fn kill(&mut self, node: NodeIndex) -> Result<()> {
        let child = &mut self.nodes[node.0].child;
        child.start_kill()?;
        child.wait().await?;
        Ok(())
    }

    /// Starts a killed node again, with its data directory.
    pub(crate) fn restart(&mut self, node: NodeIndex) -> Result<()> {
        let node = &mut self.nodes[node.0];
        node.child = spawn(&node.config, &self.peers)?;
        Ok(())
    }

    /// Pauses all nodes.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.nodes.iter().try_for_each(|node| node.signal(Signal::STOP))
    }

    /// Resumes all nodes, and waits until there is a leader.
    pub(crate) async fn thaw(&self) -> Result<()> {
        self.nodes.iter().try_for_each(|node| node.signal(Signal::CONT))?;
        self.leader().await.map(drop)
    }
}

/// The status of a node.
struct Status {
    id: u64,
    /// 0 while it knows no leader.
    leader: u64,
}

/// The name, addresses and directory of a node.
struct NodeConfig {
    name: String,
    client_url: String,
    peer_url: String,
    data: PathBuf,
}

impl NodeConfig {
    fn new(dir: &Path, node: usize) -> Result<Self> {
        let name = format!("etcd{}", node + 1);
        let url = || Ok::<_, anyhow::Error>(format!("http://{}", free_address()?));
        Ok(Self { data: dir.join(&name), client_url: url()?, peer_url: url()?, name })
    }
}

struct Node {
    config: NodeConfig,
    child: Child,
}

impl Node {
    fn start(config: NodeConfig, peers: &str) -> Result<Self> {
        let child = spawn(&config, peers)?;
        Ok(Self { config, child })
    }

    async fn status(&self) -> Option<Status> {
        let status = async {
            let mut client = Client::connect([&self.config.client_url], None).await.ok()?;
            let status = client.status().await.ok()?;
            Some(Status { id: status.header()?.member_id(), leader: status.leader() })
        };
        timeout(STATUS_TIMEOUT, status).await.ok()?
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.id().context("a node of etcd has ended")?;
        let pid = Pid::from_raw(id.cast_signed()).context("a process has an id")?;
        Ok(kill_process(pid, signal)?)
    }
}

/// Starts a node with etcd's default settings: heartbeats every 100 ms, an election timeout of 1 s,
/// and each write synced.
fn spawn(config: &NodeConfig, peers: &str) -> Result<Child> {
    std::fs::create_dir_all(&config.data).with_context(|| format!("cannot create {}", config.data.display()))?;
    let log = std::fs::File::options().create(true).append(true).open(config.data.with_extension("log"))?;
    let mut command = Command::new("etcd");
    // The environment may have settings for another etcd on this machine.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ETCD_")) {
        command.env_remove(name);
    }
    command.args(["--name", &config.name, "--data-dir"]).arg(&config.data);
    command.args(["--listen-client-urls", &config.client_url, "--advertise-client-urls", &config.client_url]);
    command.args(["--listen-peer-urls", &config.peer_url, "--initial-advertise-peer-urls", &config.peer_url]);
    command.args(["--initial-cluster", peers, "--initial-cluster-state", "new"]);
    command.args(["--logger", "zap", "--log-level", "warn"]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.process_group(0).kill_on_drop(true);
    command.spawn().context("cannot start etcd: is it installed?")
}

/// The version of the installed etcd, such as `3.4.23`.
pub(crate) async fn version() -> Result<String> {
    let output = Command::new("etcd").arg("--version").stdin(Stdio::null()).output().await;
    let output = output.context("cannot start etcd: is it installed?")?;
    ensure!(output.status.success(), "etcd does not print its version");
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().find_map(|line| line.strip_prefix("etcd Version: "));
    version.map(|version| version.trim().to_owned()).context("etcd does not print its version")
}
