//! The usual choice for orders: `PostgreSQL` with two standbys, of which one must have synced each
//! commit (`synchronous_standby_names = 'ANY 1 (…)'`), on the same machine and disk. Everything
//! else has its default.
//!
//! pgbench sends one statement per order, prepared, straight to the primary: it takes a piece of a
//! random product and inserts the order. There is no HTTP in between, which favors it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::hyper_server::free_address;
use crate::process::ended_children_cpu;
use crate::rounds::Measurement;

/// Where Debian has the programs of its versions; they are not in the `PATH`.
const DEBIAN: &str = "/usr/lib/postgresql";

/// `PostgreSQL` refuses to run as root. Debian's package has this user.
const USER: &str = "postgres";

const STANDBYS: [&str; 2] = ["standby1", "standby2"];

/// More than the clients of any measurement.
const CONNECTIONS_MAX: usize = 300;

/// The start of a server on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The threads of pgbench, as many as wrk has.
const THREADS: usize = 2;

const ORDER: &str = "\\set product random(1, :products)
WITH taken AS (
    UPDATE products SET stock = stock - 1 WHERE id = :product AND stock >= 1 RETURNING id
) INSERT INTO orders (product, quantity) SELECT id, 1 FROM taken;
";

/// A running primary and its standbys. They are killed when this is dropped.
pub(crate) struct PostgresCluster {
    programs: Programs,
    dir: PathBuf,
    primary: Server,
    standbys: Vec<Server>,
}

impl PostgresCluster {
    /// Starts a cluster with its files in `dir`, which is created, and waits until both standbys
    /// follow. There are `products` products.
    pub(crate) async fn start(dir: &Path, products: usize) -> Result<Self> {
        let programs = Programs::find()?;
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        programs.own(dir)?;
        let data = dir.join("primary");
        let mut initdb = programs.command("initdb");
        run(initdb.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"]).arg(&data))
            .await?;
        let primary = Server::start(&programs, dir, "primary")?;
        let mut cluster = Self { programs, dir: dir.to_owned(), primary, standbys: Vec::new() };
        cluster.until("SELECT 1", "1").await?;
        for name in STANDBYS {
            let standby = cluster.standby(name).await?;
            cluster.standbys.push(standby);
        }
        let standbys = STANDBYS.len().to_string();
        cluster.until("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", &standbys).await?;
        let names = STANDBYS.join(", ");
        cluster.query(&format!("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 ({names})'")).await?;
        cluster.query("SELECT pg_reload_conf()").await?;
        cluster.until("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'", &standbys).await?;
        cluster.query("CREATE TABLE products (id int PRIMARY KEY, stock int NOT NULL)").await?;
        cluster
            .query("CREATE TABLE orders (number bigserial PRIMARY KEY, product int NOT NULL, quantity int NOT NULL)")
            .await?;
        cluster
            .query(&format!("INSERT INTO products SELECT id, 1000000000 FROM generate_series(1, {products}) id"))
            .await?;
        std::fs::write(dir.join("order.sql"), ORDER)?;
        Ok(cluster)
    }

    async fn standby(&self, name: &str) -> Result<Server> {
        let data = self.dir.join(name);
        let from = format!("host=127.0.0.1 port={} user=postgres application_name={name}", self.primary.port);
        let mut copy = self.programs.command("pg_basebackup");
        run(copy.args(["--checkpoint=fast", "--write-recovery-conf", "-d", &from, "-D"]).arg(&data)).await?;
        Server::start(&self.programs, &self.dir, name)
    }

    /// The version, such as `15.14`.
    pub(crate) async fn version(&self) -> Result<String> {
        let version = self.query("SHOW server_version").await?;
        Ok(version.split(' ').next().unwrap_or_default().to_owned())
    }

    /// Orders of the first `products` products, by `clients` clients that each have one in flight.
    /// The warm-up does not count. Both are whole seconds, because pgbench supports nothing else.
    ///
    /// # Errors
    /// If an order fails, or the stock does not agree with the orders.
    pub(crate) async fn measure(
        &self,
        clients: usize,
        products: usize,
        warm_up: Duration,
        measured: Duration,
    ) -> Result<Measurement> {
        self.bench(clients, products, warm_up).await?;
        let measured = self.bench(clients, products, measured).await?;
        let sold = "SELECT (SELECT sum(1000000000 - stock) FROM products) = (SELECT count(*) FROM orders)";
        ensure!(self.query(sold).await? == "t", "PostgreSQL's stock does not agree with its orders");
        Ok(measured)
    }

    async fn bench(&self, clients: usize, products: usize, length: Duration) -> Result<Measurement> {
        let seconds = length.as_secs().max(1);
        let logs = self.dir.join("logs");
        if logs.exists() {
            std::fs::remove_dir_all(&logs)?;
        }
        std::fs::create_dir(&logs)?;
        self.programs.own(&logs)?;
        let before = ended_children_cpu()?;
        let mut command = self.connected("pgbench");
        command.args(["--no-vacuum", "--protocol=prepared", "--log", "--file"]).arg(self.dir.join("order.sql"));
        command.arg(format!("--log-prefix={}/order", logs.display()));
        command.args([
            format!("--define=products={products}"),
            format!("--client={clients}"),
            format!("--jobs={}", THREADS.min(clients)),
            format!("--time={seconds}"),
        ]);
        let text = run(command.arg("postgres")).await?;
        let used = ended_children_cpu()?.saturating_sub(before);
        let mut latencies = Vec::new();
        for file in std::fs::read_dir(&logs)? {
            latencies.extend(latencies_us(&std::fs::read_to_string(file?.path())?)?);
        }
        latencies.sort_unstable();
        ensure!(!latencies.is_empty(), "pgbench logged no order:\n{text}");
        let percentile = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
        #[expect(clippy::cast_precision_loss, reason = "a few seconds, in microseconds")]
        Ok(Measurement {
            per_s: rate(&text).with_context(|| format!("unexpected output of pgbench:\n{text}"))?,
            p50_us: percentile(50) as f64,
            p99_us: percentile(99) as f64,
            generator_cores: used.as_secs_f64() / seconds as f64,
        })
    }

    /// The only value of a query's result.
    async fn query(&self, sql: &str) -> Result<String> {
        let mut psql = self.connected("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", sql, "postgres"]);
        Ok(run(&mut psql).await?.trim().to_owned())
    }

    /// Repeats a query until it has this result.
    async fn until(&self, sql: &str, expected: &str) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.query(sql).await {
                Ok(found) if found == expected => return Ok(()),
                Ok(found) if Instant::now() > deadline => bail!("{sql}: {found}, not {expected}"),
                Err(error) if Instant::now() > deadline => return Err(error),
                _ => sleep(POLL_INTERVAL).await,
            }
        }
    }

    fn connected(&self, program: &str) -> Command {
        let mut command = self.programs.command(program);
        command.args(["--host=127.0.0.1", &format!("--port={}", self.primary.port), "--username=postgres"]);
        command
    }
}

struct Server {
    port: u16,
    /// Its own children end when it does.
    _postmaster: Child,
}

impl Server {
    fn start(programs: &Programs, dir: &Path, name: &str) -> Result<Self> {
        let port = free_address()?.port();
        let log = std::fs::File::create(dir.join(name).with_extension("log"))?;
        let mut command = programs.command("postgres");
        command.arg("-D").arg(dir.join(name)).arg("-k").arg(dir);
        command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", &format!("max_connections={CONNECTIONS_MAX}")]);
        command.stdout(log.try_clone()?).stderr(log);
        Ok(Self { port, _postmaster: command.spawn().context("cannot start PostgreSQL")? })
    }
}

/// Where the programs are, and as whom they run.
struct Programs {
    dir: PathBuf,
    /// User and group; `None` for those of this process.
    user: Option<(u32, u32)>,
}

impl Programs {
    fn find() -> Result<Self> {
        let missing = || format!("cannot find PostgreSQL in {DEBIAN}: is it installed?");
        let versions = std::fs::read_dir(DEBIAN).with_context(missing)?;
        let dirs = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
        let dir = dirs.filter(|dir| dir.join("initdb").exists()).max().with_context(missing)?;
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { dir, user: None });
        }
        let users = std::fs::read_to_string("/etc/passwd")?;
        let user =
            ids(&users, USER).with_context(|| format!("there is no user {USER}, and PostgreSQL refuses root"))?;
        Ok(Self { dir, user: Some(user) })
    }

    /// Gives a directory to the user who runs the programs.
    fn own(&self, dir: &Path) -> Result<()> {
        if let Some((user, group)) = self.user {
            std::os::unix::fs::chown(dir, Some(user), Some(group))?;
        }
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.dir.join(program));
        if let Some((user, group)) = self.user {
            command.gid(group).uid(user);
        }
        // The environment may have settings for another PostgreSQL on this machine.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        command
    }
}

/// User and group id of a user, from `/etc/passwd`.
fn ids(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields = passwd.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
    Some((fields.nth(2)?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Runs a command to its end, and returns what it has printed.
async fn run(command: &mut Command) -> Result<String> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command.output().await.with_context(|| format!("cannot start {program}"))?;
    ensure!(output.status.success(), "{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Orders per second, from the output of pgbench 15. Orders that failed are an error.
fn rate(text: &str) -> Result<f64> {
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).context("a line is missing");
    let failed = value("number of failed transactions: ")?;
    ensure!(failed.starts_with("0 "), "not every order was placed: {failed}");
    let rate = value("tps = ")?.split(' ').next().unwrap_or_default();
    Ok(rate.parse()?)
}

/// The latencies of pgbench's log, in microseconds: the third field of each line.
fn latencies_us(log: &str) -> Result<Vec<u64>> {
    let third = |line: &str| line.split(' ').nth(2)?.parse().ok();
    log.lines().map(|line| third(line).with_context(|| format!("unexpected line in pgbench's log: {line}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
transaction type: order.sql
number of transactions actually processed: 5217
number of failed transactions: 0 (0.000%)
latency average = 0.766 ms
initial connection time = 3.482 ms
tps = 1305.192837 (without initial connection time)
";

    #[test]
    fn pgbench_is_understood() {
        assert!((rate(OUTPUT).unwrap() - 1_305.192_837).abs() < 1e-9);
        assert!(rate(&OUTPUT.replace(": 0 (", ": 3 (")).is_err());
        assert!(rate("").is_err());
        let log = "0 1 766 0 1700000000 123456\n1 1 801 0 1700000000 123460\n";
        assert_eq!(latencies_us(log).unwrap(), [766, 801]);
        assert!(latencies_us("0 1\n").is_err());
    }

    #[test]
    fn a_user_is_found() {
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(ids(users, "postgres"), Some((101, 104)));
        assert_eq!(ids(users, "postgre"), None);
    }
}
