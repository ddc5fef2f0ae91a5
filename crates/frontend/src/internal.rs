//! `FRONT_PORT`: what the catalog tells the cache, and what people may see of it.

use api::frontend::{CacheContents, Invalidate};
use api::{ErrorCode, HolderId, ProductName};
use axum::extract::State;
use serde::Serialize;
use service::http::{Body, Failure, PathParam, Reply, data};

use crate::cache::SharedCache;

/// An answer that says nothing but that it was done: `{}`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Done {}

/// The cache, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Invalidations {
    /// Where products are forgotten.
    pub(crate) cache: SharedCache,
    /// This process.
    pub(crate) holder: HolderId,
}

/// `DELETE /cache`: products that are about to change. Confirmed once they are gone.
pub(crate) async fn invalidate(State(state): State<Invalidations>, Body(change): Body<Invalidate>) -> Reply<Done> {
    if change.holder != state.holder {
        // Perhaps the process that had this port before: then its lease runs out. But perhaps one that lives, and that told the catalog
        // a wrong address: nobody else can confirm for it.
        return Err(Failure::new(ErrorCode::NotFound, "another process holds that lease"));
    }
    state.cache.invalidate(&change.products);
    data(Done {})
}

/// `DELETE /cache/{product}`: for people.
pub(crate) async fn forget(State(state): State<Invalidations>, PathParam(name): PathParam<ProductName>) -> Reply<Done> {
    state.cache.remove(&name);
    data(Done {})
}

/// `GET /cache`.
pub(crate) async fn contents(State(state): State<Invalidations>) -> Reply<CacheContents> {
    data(state.cache.contents())
}
