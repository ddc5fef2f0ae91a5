//! The other side of the orders: etcd, three nodes as they come, on the same machine and disk.

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

pub(crate) use outage::Writers;
pub(crate) use puts::{Connections, Putters, VALUE_BYTES};

/// Nodes of the cluster: as many as the store has order replicas.
const NODES: usize = 3;

/// An election takes etcd one to two seconds; a loaded machine gets its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at who leads.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// For a node's word about itself.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// Which node; counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat(usize);

/// A running cluster. Its processes end with it.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    /// As each node is told who the nodes are.
    peers: String,
}

impl Cluster {
    /// Starts one with its files in `dir`, which is made, and waits until it has a leader.
    pub(crate) async fn start(dir: &Path) -> Result<Self> {
        let sites = (0..NODES).map(|seat| Site::new(dir, seat)).collect::<Result<Vec<_>>>()?;
        let peers: Vec<_> = sites.iter().map(|site| format!("{}={}", site.name, site.peer_url)).collect();
        let peers = peers.join(",");
        let nodes = sites.into_iter().map(|site| Node::start(site, &peers)).collect::<Result<_>>()?;
        let cluster = Self { nodes, peers };
        cluster.leader().await?;
        Ok(cluster)
    }

    /// Where each node takes clients.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.site.client_url.clone()).collect()
    }

    /// Where a node takes clients.
    pub(crate) fn endpoint(&self, seat: Seat) -> &str {
        &self.nodes[seat.0].site.client_url
    }

    /// Waits until all nodes name the same leader.
    ///
    /// # Errors
    /// If they do not in [`PATIENCE`].
    pub(crate) async fn leader(&self) -> Result<Seat> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = futures::future::join_all(self.nodes.iter().map(Node::status)).await;
            if let Some(told) = told.into_iter().collect::<Option<Vec<_>>>() {
                let leader = told[0].leader;
                if leader != 0
                    && told.iter().all(|status| status.leader == leader)
                    && let Some(seat) = told.iter().position(|status| status.id == leader)
                {
                    return Ok(Seat(seat));
                }
            }
            if Instant::now() > deadline {
                bail!("etcd has no leader after {} s", PATIENCE.as_secs());
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) async fn kill(&mut self, seat: Seat) -> Result<()> {
        let child = &mut self.nodes[seat.0].child;
        child.start_kill()?;
        child.wait().await?;
        Ok(())
    }

    /// Starts a node that was killed, with what it has on its disk.
    pub(crate) fn restart(&mut self, seat: Seat) -> Result<()> {
        let node = &mut self.nodes[seat.0];
        node.child = spawn(&node.site, &self.peers)?;
        Ok(())
    }

    /// Stops the clocks of all nodes.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.nodes.iter().try_for_each(|node| node.signal(Signal::STOP))
    }

    /// Goes on, and waits until there is a leader.
    pub(crate) async fn thaw(&self) -> Result<()> {
        self.nodes.iter().try_for_each(|node| node.signal(Signal::CONT))?;
        self.leader().await.map(drop)
    }
}

/// A node's word about itself.
struct Status {
    id: u64,
    /// 0 while it knows none.
    leader: u64,
}

/// Where a node is.
struct Site {
    name: String,
    client_url: String,
    peer_url: String,
    data: PathBuf,
}

impl Site {
    fn new(dir: &Path, seat: usize) -> Result<Self> {
        let name = format!("etcd{}", seat + 1);
        let url = || Ok::<_, anyhow::Error>(format!("http://{}", free_address()?));
        Ok(Self { data: dir.join(&name), client_url: url()?, peer_url: url()?, name })
    }
}

struct Node {
    site: Site,
    child: Child,
}

impl Node {
    fn start(site: Site, peers: &str) -> Result<Self> {
        let child = spawn(&site, peers)?;
        Ok(Self { site, child })
    }

    async fn status(&self) -> Option<Status> {
        let asked = async {
            let mut client = Client::connect([&self.site.client_url], None).await.ok()?;
            let status = client.status().await.ok()?;
            Some(Status { id: status.header()?.member_id(), leader: status.leader() })
        };
        timeout(STATUS_TIMEOUT, asked).await.ok()?
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.id().context("a node of etcd has ended")?;
        let pid = Pid::from_raw(id.cast_signed()).context("a process has a number")?;
        Ok(kill_process(pid, signal)?)
    }
}

/// With etcd's own defaults: heartbeats of 100 ms, elections after 1 s, each write synced.
fn spawn(site: &Site, peers: &str) -> Result<Child> {
    std::fs::create_dir_all(&site.data).with_context(|| format!("{} cannot be made", site.data.display()))?;
    let log = std::fs::File::options().create(true).append(true).open(site.data.with_extension("log"))?;
    let mut command = Command::new("etcd");
    // Settings of an etcd of this machine are not this one's.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ETCD_")) {
        command.env_remove(name);
    }
    command.args(["--name", &site.name, "--data-dir"]).arg(&site.data);
    command.args(["--listen-client-urls", &site.client_url, "--advertise-client-urls", &site.client_url]);
    command.args(["--listen-peer-urls", &site.peer_url, "--initial-advertise-peer-urls", &site.peer_url]);
    command.args(["--initial-cluster", peers, "--initial-cluster-state", "new"]);
    command.args(["--logger", "zap", "--log-level", "warn"]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.process_group(0).kill_on_drop(true);
    command.spawn().context("etcd cannot be started: is it installed?")
}

/// The version of the etcd that is installed: `3.4.23`.
pub(crate) async fn version() -> Result<String> {
    let output = Command::new("etcd").arg("--version").stdin(Stdio::null()).output().await;
    let output = output.context("etcd cannot be started: is it installed?")?;
    ensure!(output.status.success(), "etcd does not tell its version");
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().find_map(|line| line.strip_prefix("etcd Version: "));
    version.map(|version| version.trim().to_owned()).context("etcd does not tell its version")
}
