//! The stock accounts as CSV, for people: the columns of a [seed](crate::seed), then where the
//! pieces are.

use std::io::Write;
use std::time::Duration;

use api::catalog::StockAccount;
use discovery::Group;
use service::json_client::{CallError, JsonClient};
use tokio::time::Instant;

use crate::seed::ACCOUNT_COLUMNS;

/// How long an export looks for a catalog that answers: longer than an election and a restart.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The catalog did not answer.
    #[error("the catalog does not answer: {0}")]
    Catalog(#[from] CallError),
    /// The CSV cannot be written.
    #[error("the export cannot be written: {0}")]
    Write(#[from] csv::Error),
}

/// Requests the stock accounts from the running catalog and writes them to `out`.
///
/// `quantity` is what can be ordered; `reserved`, `sold`, `restocked` and `initial` complete the
/// account (invariant I4).
pub async fn export(catalog: &Group, out: impl Write) -> Result<(), ExportError> {
    let ask = |client: JsonClient, address| async move { client.get(&address, "/accounts", DEADLINE).await };
    let accounts: Vec<StockAccount> = catalog.call_leader(Instant::now() + DEADLINE, ask).await?;
    Ok(write(&accounts, out)?)
}

fn write(accounts: &[StockAccount], out: impl Write) -> Result<(), csv::Error> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(["name", "price", "quantity"].into_iter().chain(ACCOUNT_COLUMNS))?;
    for StockAccount { name, price, initial, restocked, stock, sold, reserved } in accounts {
        let account = [reserved, sold, restocked, initial].map(ToString::to_string);
        writer.write_record([name.to_string(), price.to_string(), stock.to_string()].into_iter().chain(account))?;
    }
    Ok(writer.flush()?)
}

#[cfg(test)]
mod tests {
    use api::{Price, ProductName, Stock};

    use super::*;

    #[test]
    fn an_export_is_a_seed() {
        let account = StockAccount {
            name: ProductName::new("Ball, \"red\"").unwrap(),
            price: Price::from_cents(705).unwrap(),
            initial: 10,
            restocked: 20,
            stock: Stock(5),
            sold: 22,
            reserved: 3,
        };
        let mut text = Vec::new();
        write(std::slice::from_ref(&account), &mut text).unwrap();
        let expected = "name,price,quantity,reserved,sold,restocked,initial\n\"Ball, \"\"red\"\"\",7.05,5,3,22,20,10\n";
        assert_eq!(String::from_utf8(text.clone()).unwrap(), expected);

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.csv");
        std::fs::write(&path, text).unwrap();
        let products = crate::seed::read(&path).unwrap();
        assert_eq!((products[0].name.clone(), products[0].quantity), (account.name, account.stock));
    }
}
