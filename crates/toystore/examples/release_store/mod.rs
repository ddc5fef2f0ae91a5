//! What the examples share: a store of the release binary, and the memory of its processes.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::ProductName;
use toystore::local::{LocalStore, PortBase, StoreLayout};

/// How long the store may take to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts a store with one frontend on free ports, with its files in `directory`. All of its
/// `products` products fit into the cache, and none is ever sold out.
///
/// `binary` names another binary than the release binary beside the example.
pub(crate) async fn start(
    directory: &Path,
    products: usize,
    binary: Option<PathBuf>,
    log_level: &str,
) -> Result<(LocalStore, Vec<ProductName>)> {
    let names: Vec<_> = (1..=products).map(|n| format!("Toy {n}")).collect();
    let catalog = names.iter().fold("name,price,quantity\n".to_owned(), |mut csv, name| {
        writeln!(csv, "{name},1.00,1000000000").expect("writing to a string never fails");
        csv
    });
    std::fs::write(directory.join("catalog.csv"), catalog)?;
    let layout = StoreLayout::new(directory, PortBase::ephemeral()?)
        .with_variable("CACHE_SIZE", products)
        .with_variable("LOG_LEVEL", log_level);
    let binary = match binary {
        Some(path) => path,
        None => std::env::current_exe()?.parent().context("the example is in a directory")?.join("../toystore"),
    };
    ensure!(binary.exists(), "build the release binary first: cargo build --release");
    let mut store = LocalStore::new(layout, binary, Arc::new(|member, line| eprintln!("{member:>10} | {line}")));
    store.start_all()?;
    store.ready(READY_TIMEOUT).await.map_err(anyhow::Error::msg)?;
    let names = names.iter().map(|name| ProductName::new(name).expect("a valid name")).collect();
    Ok((store, names))
}

/// A line of `/proc/PID/status` about the memory of a process, such as `VmRSS` or `VmHWM`, in MiB.
pub(crate) fn memory_mib(pid: i32, line: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(':')).context("no such line")?;
    let kib: u32 = value.trim().trim_end_matches(" kB").parse()?;
    Ok(f64::from(kib) / 1024.0)
}
