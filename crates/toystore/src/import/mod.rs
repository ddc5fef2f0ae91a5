//! `toystore import`: creates a store from the stock and the past orders of another one.
//!
//! The history is real. The import runs the same processes as `toystore up`, in empty directories,
//! with an initial stock of the present stock *plus* what was sold. Then it places every past
//! order, in the order of the numbers. So each order is on the disks of a majority under its
//! number, stock is conserved (I4), and the stock that remains is the present stock.
//!
//! ```text
//! catalog: Tux 97 ─┐
//!                  ├─► initial stock: Tux 100 ──► orders 1, 2, … are placed ──► stock: Tux 97
//! orders:  Tux 3  ─┘
//! ```
//!
//! Both files are read before anything is written, and all mistakes in them are reported at once.
//!
//! # Caveats
//! * A past order has no Idempotency-Key; it gets an id that is derived from its number.
//! * An interrupted import cannot be resumed: its directory has to be removed. The error message
//!   says so.

mod files;
mod past_orders;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::catalog::StockAccount;
use api::order::{BATCH_PATH, DecidedCounts, PlaceOrder, Placement};
use api::{OrderId, OrderNumber, Product, REQUEST_BATCH_MAX};
use discovery::{Group, static_replicas};
use service::json_client::JsonClient;
use service::lifecycle::{ExitCode, ExitError};
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::local::{LocalStore, LogSink, PortBase, StoreLayout, StoreMember};
use crate::output::print;
use past_orders::PastOrder;

/// Bootstrapping a group and electing a leader takes about a second; the rest is for loaded
/// machines.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout of one batch of up to [`REQUEST_BATCH_MAX`] orders, including an election and slow
/// disks.
const PLACE_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout of one attempt. The order service itself gives up earlier.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(8);

/// What to import, and where to.
#[derive(Clone, Debug)]
pub struct Config {
    data_dir: PathBuf,
    /// Sorted by name.
    products: Vec<Product>,
    /// Sorted by number.
    orders: Vec<PastOrder>,
}

/// The settings of `toystore import`.
pub fn settings() -> Vec<Setting> {
    let own = vec![
        Setting::optional(
            "IMPORT_CATALOG",
            "CSV file of the other store's products: product_name (or name), price, quantity",
        )
        .with_flag("catalog"),
        Setting::optional("IMPORT_ORDERS", "CSV file of its past orders: order number, product name, quantity")
            .with_flag("orders"),
        Setting::switch(
            "SKIP_EMPTY_ORDERS",
            "Skip orders with quantity 0, which this store does not allow; later orders get lower numbers",
        ),
        Setting::new("DATA_DIR", "data", "Data directory of the new store; it must not contain a store yet"),
    ];
    [own, LogConfig::settings()].concat()
}

impl Config {
    /// Takes the values of the settings and reads the files. Every mistake in them is noted with
    /// its line.
    pub fn read(values: &mut Values) -> Option<Self> {
        let catalog = values.required::<PathBuf>("IMPORT_CATALOG");
        let orders = values.optional::<PathBuf>("IMPORT_ORDERS");
        let skip_empty = values.required::<bool>("SKIP_EMPTY_ORDERS");
        let data_dir = values.required::<PathBuf>("DATA_DIR");
        let mut noted = |mistakes: Vec<String>| mistakes.into_iter().for_each(|mistake| values.mistake(mistake));
        let products =
            catalog.and_then(|path| catalog::seed::read(&path).map_err(|error| noted(error.mistakes())).ok());
        let orders = match orders {
            None => Some(Vec::new()),
            Some(path) => {
                let rules = past_orders::Rules { products: products.as_deref(), skip_empty: skip_empty? };
                past_orders::read(&path, &rules).map_err(&mut noted).ok()
            }
        };
        noted(data_dir.iter().filter_map(|data_dir| files::existing_store(data_dir)).collect());
        Some(Self { data_dir: data_dir?, products: products?, orders: orders? })
    }
}

/// Starts the store, places the orders, verifies the stock, and stops the store.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), ExitError> {
    let failed = |what: String| {
        let data = config.data_dir.display();
        ExitError::new(
            ExitCode::Failure,
            format!("{what}\nThe import is incomplete: remove {data}, then run the import again."),
        )
    };
    let initial = files::initial_stock(&config.products, &config.orders);
    files::write(&config.data_dir, &initial, &config.orders).map_err(|error| ExitError::new(ExitCode::Io, error))?;
    let mut store = prepare(&config.data_dir).map_err(|error| failed(error.to_string()))?;
    let work = async {
        store.start_all().map_err(|error| format!("cannot start a process: {error}"))?;
        store.ready(READY_TIMEOUT).await?;
        place_all(&store, &config.orders).await?;
        check(&store, &config).await
    };
    let done = stop.run_until_cancelled(work).await.unwrap_or_else(|| Err("stopped before the end".to_owned()));
    store.stop().await;
    done.map_err(failed)?;
    print_summary(&config);
    Ok(())
}

/// The store of `toystore up` in that directory, on free ports. Restocking is off, because it would
/// add stock that is neither in the catalog file nor sold.
fn prepare(data: &Path) -> std::io::Result<LocalStore> {
    let layout = StoreLayout::new(data, PortBase::ephemeral()?)
        .with_variable("RESTOCK_INTERVAL_MS", 0)
        .with_variable("LOG_LEVEL", "error");
    let log: LogSink = Arc::new(|member, line| tracing::error!("{member} | {line}"));
    Ok(LocalStore::new(layout, std::env::current_exe()?, log))
}

/// Places the orders in their order, in batches.
async fn place_all(store: &LocalStore, orders: &[PastOrder]) -> Result<(), String> {
    let layout = store.layout();
    let replicas: BTreeMap<_, _> = layout.ordinals().map(|n| (n, layout.internal(StoreMember::Order(n)))).collect();
    let group = Group::new("order", static_replicas(replicas), store.json_client().clone());
    for batch in orders.chunks(REQUEST_BATCH_MAX) {
        // All earlier orders have been placed by now.
        let known = DecidedCounts { placed: batch[0].number.get() - 1, refused: 0 };
        let request: Vec<_> = batch.iter().map(|order| order.place(known)).collect();
        let ask = async |client: JsonClient, leader| {
            client.post::<_, Vec<Placement>>(&leader, BATCH_PATH, &request, ATTEMPT_TIMEOUT).await
        };
        let answers =
            group.call_leader(Instant::now() + PLACE_TIMEOUT, ask).await.map_err(|error| error.to_string())?;
        if answers.len() != batch.len() {
            return Err(format!("got {} answers to {} orders", answers.len(), batch.len()));
        }
        for (order, answer) in batch.iter().zip(answers) {
            match answer {
                Placement::Placed(placed) if placed.order_number == order.number => {}
                Placement::Placed(placed) => {
                    return Err(format!("order {} got the number {}", order.number, placed.order_number));
                }
                Placement::Refused(error) => return Err(format!("order {}: {error}", order.number)),
            }
        }
    }
    Ok(())
}

/// Verifies that the stock equals the catalog file.
async fn check(store: &LocalStore, config: &Config) -> Result<(), String> {
    let catalog = store.layout().internal(StoreMember::Catalog);
    let accounts: Vec<StockAccount> =
        store.json_client().get(&catalog, "/accounts", ATTEMPT_TIMEOUT).await.map_err(|error| error.to_string())?;
    let stock: Vec<_> =
        accounts.into_iter().map(|it| Product { name: it.name, price: it.price, quantity: it.stock }).collect();
    if stock == config.products { Ok(()) } else { Err("the stock differs from the catalog file".to_owned()) }
}

fn print_summary(Config { data_dir, products, orders }: &Config) {
    let data = data_dir.display();
    print(format_args!("Imported {} products and {} orders into {data}.", products.len(), orders.len()));
    if let Some(order) = orders.iter().find(|order| order.before != order.number.get()) {
        let numbers = data_dir.join(files::NUMBERS);
        print(format_args!(
            "Order numbers start at 1 here: order {} is now order {}, and so on. {} lists all numbers.",
            order.before,
            order.number,
            numbers.display()
        ));
    }
    print(format_args!("To start the store, run: toystore up --data-dir {data}"));
}

impl PastOrder {
    fn place(&self, known: DecidedCounts) -> PlaceOrder {
        PlaceOrder { known, ..PlaceOrder::new(order_id(self.number), self.name.clone(), self.quantity) }
    }
}

/// The same id on every attempt. UUID version 8 of RFC 9562 (§5.8) differs from the ids of all
/// other versions.
fn order_id(number: OrderNumber) -> OrderId {
    let number = number.get();
    assert!(number < 1 << 48, "past orders are limited");
    format!("00000000-0000-8000-8000-{number:012x}").parse().expect("a UUID's form")
}
