//! The file of acknowledged orders: CSV, a line each, in the order in which they were acknowledged to this process.

use std::io;
use std::path::Path;

use api::{OrderId, OrderNumber, ProductName, Quantity};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Orders on their way to the file: a moment's worth; past that shoppers wait for the disk.
const WAITING_MAX: usize = 1024;

/// An order that the store has promised to keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Acknowledged {
    /// The number that the store gave it.
    pub number: OrderNumber,
    /// What was ordered.
    pub name: ProductName,
    /// How many pieces.
    pub quantity: Quantity,
    /// The key that it was ordered under.
    pub order_id: OrderId,
}

/// Takes orders for the file. Cheap to clone; the file is finished when all clones are gone.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(mpsc::Sender<Acknowledged>);

/// The writer's end of it.
#[derive(Debug)]
pub(crate) struct Recording(JoinHandle<io::Result<()>>);

/// Makes the file anew, and its folder if need be.
pub(crate) async fn create(path: &Path) -> io::Result<(Recorder, Recording)> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let file = tokio::fs::File::create(path).await?.into_std().await;
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let writing = tokio::task::spawn_blocking(move || write(file, receiver));
    Ok((Recorder(sender), Recording(writing)))
}

impl Recorder {
    /// Hands an order over. False if the writer is gone: [`Recording::finish`] tells why.
    pub(crate) async fn record(&self, order: Acknowledged) -> bool {
        self.0.send(order).await.is_ok()
    }
}

impl Recording {
    /// Waits until everything is written.
    pub(crate) async fn finish(self) -> io::Result<()> {
        self.0.await.map_err(io::Error::other)?
    }
}

fn write(file: std::fs::File, mut orders: mpsc::Receiver<Acknowledged>) -> io::Result<()> {
    let mut csv = csv::WriterBuilder::new().has_headers(false).from_writer(file);
    // By hand, so that a run without an order has the line too.
    csv.write_record(["number", "name", "quantity", "order_id"])?;
    loop {
        // Nobody waits: whoever looks at the file now sees everything.
        if orders.is_empty() {
            csv.flush()?;
        }
        match orders.blocking_recv() {
            Some(order) => csv.serialize(order)?,
            None => return csv.flush(),
        }
    }
}
