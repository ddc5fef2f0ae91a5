//! How the list of all products is read from the catalog's leader.
//!
//! Encoding the list costs the catalog as much as encoding all of its products, and decoding and
//! encoding it again costs this process the same. So only one HTTP request for the list is in
//! flight at a time, at most one is sent per [`FETCH_INTERVAL`], and all clients that are waiting
//! share the next one (see [`Batcher`](crate::batcher::Batcher)). While no order changes the stock,
//! the list is served from the cache. A client only ever shares a request that was sent after the
//! client asked, so its list includes every order that was acknowledged before it asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::catalog::ProductList;
use api::{Address, Data, HolderId};
use bytes::Bytes;
use service::http::Hedge;
use service::json_client::{CallError, JsonClient, RequestPath};
use service::trace;
use tokio::time::{Instant, sleep_until};

use super::batch_request::attempt_timeout;
use crate::batcher::BatchRequest;
use crate::cache::SharedCache;

/// Shortest time between two requests for the list. Twenty lists of a thousand products per second
/// take a few hundredths of a core on either side, and a delay of 50 ms is not noticeable.
const FETCH_INTERVAL: Duration = Duration::from_millis(50);

/// Reads the list of all products. Clones share the schedule.
#[derive(Clone, Debug)]
pub(crate) struct ListProducts {
    path: Arc<str>,
    cache: SharedCache,
    fills_cache: bool,
    next_fetch: Arc<Mutex<Instant>>,
}

impl ListProducts {
    /// Lists are kept in `cache` under the lease of `holder`; without a holder they are not kept.
    pub(crate) fn new(cache: SharedCache, holder: Option<HolderId>) -> Self {
        let path = holder.map_or_else(|| "/products".into(), |holder| format!("/products?holder={holder}").into());
        Self { path, cache, fills_cache: holder.is_some(), next_fetch: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Waits until the next request may be sent.
    async fn wait_for_slot(&self) {
        if trace::is_on() {
            // Every client's request is sent by itself then, and would wait for all others.
            return;
        }
        let slot = {
            let mut next = self.next_fetch.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = (*next).max(Instant::now());
            *next = slot + FETCH_INTERVAL;
            slot
        };
        sleep_until(slot).await;
    }
}

impl BatchRequest for ListProducts {
    type Item = ();
    /// The body of the response to the client.
    type Response = Bytes;

    async fn send_one(
        &self,
        client: &JsonClient,
        catalog: &Address,
        (): &(),
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        self.wait_for_slot().await;
        let ticket = self.cache.begin_fetch();
        let route = RequestPath::filled("/products", &self.path);
        let client = client.hedged(Hedge::STEADY);
        let list: ProductList = client.get(catalog, route, attempt_timeout(deadline)).await?;
        let body = serde_json::to_vec(&Data::new(&list.products)).expect("products have a JSON form");
        let body = Bytes::from(body);
        if list.cacheable && self.fills_cache {
            self.cache.fill_list(ticket, body.clone());
        }
        Ok(body)
    }

    async fn send_batch(
        &self,
        client: &JsonClient,
        catalog: &Address,
        items: &[()],
        deadline: Instant,
    ) -> Result<Vec<Result<Bytes, CallError>>, CallError> {
        let body = self.send_one(client, catalog, &(), deadline).await?;
        Ok(items.iter().map(|()| Ok(body.clone())).collect())
    }
}
