//! Looks on their way to the catalog's leader.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::catalog::{LOOK_TOGETHER_PATH, Look, LookTogether, ProductRead};
use api::{Address, HolderId, ProductName, Together};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use service::call::{CallError, Caller, Route};
use tokio::time::Instant;

use super::PRODUCT_PATH;
use crate::courier::Errand;
use crate::deadline::remaining;
use crate::new_order::no_such_product;

/// For one attempt: the catalog answers from memory, after one round of its group where it has more than one replica.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1500);

/// Looks at products.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looking {
    /// Under which the cache's lease is held; `None` if the cache is switched off.
    pub(crate) holder: Option<HolderId>,
}

impl Errand for Looking {
    type Question = ProductName;
    type Answer = ProductRead;

    async fn alone(
        &self,
        caller: &Caller,
        catalog: &Address,
        name: &ProductName,
        deadline: Instant,
    ) -> Result<ProductRead, CallError> {
        let path = self.path(name);
        caller.get(catalog, Route::filled("/products/{name}", &path), time_for_attempt(deadline)).await
    }

    /// Many ask for the same at the same time: what is new, and what is about to be sold out. It is asked for once.
    async fn together(
        &self,
        caller: &Caller,
        catalog: &Address,
        names: &[ProductName],
        deadline: Instant,
    ) -> Result<Vec<Result<ProductRead, CallError>>, CallError> {
        let distinct: BTreeSet<&ProductName> = names.iter().collect();
        let once: Vec<_> = distinct.iter().copied().cloned().collect();
        let once = Together::try_from(once).expect("a courier takes as many as may go together");
        let request = LookTogether { holder: self.holder, names: once };
        let looks: Vec<Look> = caller.post(catalog, LOOK_TOGETHER_PATH, &request, time_for_attempt(deadline)).await?;
        if looks.len() != distinct.len() {
            let what = format!("{} answers to {} names", looks.len(), distinct.len());
            return Err(CallError::Unknown { address: catalog.clone(), what });
        }
        let looks: BTreeMap<_, _> = distinct.into_iter().zip(looks).collect();
        Ok(names.iter().map(|name| found(&looks[name])).collect())
    }
}

impl Looking {
    fn path(&self, name: &ProductName) -> String {
        let name = utf8_percent_encode(name.as_str(), NON_ALPHANUMERIC);
        match self.holder {
            Some(holder) => format!("{PRODUCT_PATH}{name}?holder={holder}"),
            None => format!("{PRODUCT_PATH}{name}"),
        }
    }
}

fn found(look: &Look) -> Result<ProductRead, CallError> {
    match look {
        Look::Read(read) => Ok(read.clone()),
        Look::NoSuchProduct => Err(CallError::Refused(no_such_product())),
    }
}

fn time_for_attempt(deadline: Instant) -> Duration {
    remaining(deadline).min(ATTEMPT_TIMEOUT)
}
