//! The CSV file of acknowledged orders: one line per order, in the order of the acknowledgements.

use std::io;
use std::path::Path;

use api::{OrderId, OrderNumber, ProductName, Quantity};
use history::{ClientId, Moment, OrderCall, OrderOutcome};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Orders that wait to be written. When the queue is full, shoppers wait for the disk.
const QUEUED_MAX: usize = 1024;

/// An order that the store has acknowledged, and must not lose.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AcknowledgedOrder {
    /// The number that the store assigned.
    pub(crate) number: OrderNumber,
    /// The product.
    pub(crate) name: ProductName,
    /// How many pieces.
    pub(crate) quantity: Quantity,
    /// The idempotency key that it was ordered under.
    pub(crate) order_id: OrderId,
}

impl From<AcknowledgedOrder> for OrderCall {
    /// The call of an earlier run: it returned when this run began.
    fn from(AcknowledgedOrder { number, name: product, quantity, order_id }: AcknowledgedOrder) -> Self {
        let (client, called, outcome) = (ClientId(0), Moment::default(), OrderOutcome::Acknowledged(number));
        Self { client, order_id, product, quantity, called, returned: Some(called), outcome }
    }
}

/// Reads the orders of an earlier run.
pub(crate) fn read(path: &Path) -> io::Result<Vec<OrderCall>> {
    let mut csv = csv::Reader::from_path(path)?;
    csv.deserialize().map(|order| order.map(AcknowledgedOrder::into).map_err(io::Error::from)).collect()
}

/// Sends orders to the task that writes the file. Cheap to clone. The file is complete when all
/// clones are dropped.
#[derive(Clone, Debug)]
pub(crate) struct OrdersFileSender(mpsc::Sender<AcknowledgedOrder>);

/// The task that writes the file.
#[derive(Debug)]
pub(crate) struct OrdersFileWriter(JoinHandle<io::Result<()>>);

/// Creates the file, and its directory if necessary. An existing file is overwritten.
pub(crate) async fn create(path: &Path) -> io::Result<(OrdersFileSender, OrdersFileWriter)> {
    if let Some(dir) = path.parent() {
        tokio::fs::create_dir_all(dir).await?;
    }
    let file = tokio::fs::File::create(path).await?.into_std().await;
    let (sender, receiver) = mpsc::channel(QUEUED_MAX);
    let writing = tokio::task::spawn_blocking(move || write(file, receiver));
    Ok((OrdersFileSender(sender), OrdersFileWriter(writing)))
}

impl OrdersFileSender {
    /// Queues an order. False if the writer has ended: [`OrdersFileWriter::finish`] returns why.
    pub(crate) async fn record(&self, order: AcknowledgedOrder) -> bool {
        self.0.send(order).await.is_ok()
    }
}

impl OrdersFileWriter {
    /// Waits until everything is written.
    pub(crate) async fn finish(self) -> io::Result<()> {
        self.0.await.map_err(io::Error::other)?
    }
}

fn write(file: std::fs::File, mut orders: mpsc::Receiver<AcknowledgedOrder>) -> io::Result<()> {
    let mut csv = csv::WriterBuilder::new().has_headers(false).from_writer(file);
    // Written explicitly, so that a run without orders has the header too.
    csv.write_record(["number", "name", "quantity", "order_id"])?;
    loop {
        // When no order is queued, a reader of the file sees all of them.
        if orders.is_empty() {
            csv.flush()?;
        }
        match orders.blocking_recv() {
            Some(order) => csv.serialize(order)?,
            None => return csv.flush(),
        }
    }
}
