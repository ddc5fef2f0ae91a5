//! The routes of the public port.

use axum::http::Method;
use service::health;

use crate::{openapi, orders, products};

/// What a path names. Parameters are one segment of the path, not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    Products,
    Product(&'a str),
    Orders,
    Order(&'a str),
    Document,
    Health,
    Ready,
    Metrics,
}

/// A route that supports GET supports HEAD, too.
const READ: &[Method] = &[Method::GET, Method::HEAD];

impl<'a> Route<'a> {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 8] = [
        Self::Products,
        Self::Product(""),
        Self::Orders,
        Self::Order(""),
        Self::Document,
        Self::Health,
        Self::Ready,
        Self::Metrics,
    ];

    /// The route of a path, if there is one; `admin`: health and metrics are among the routes.
    ///
    /// `/orders/` is `/orders`, with one metric for both. Only one of several slashes at the end is
    /// ignored, so that such a path remains unknown.
    pub(crate) fn parse(path: &'a str, admin: bool) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        Some(match path {
            products::LIST_ROUTE => Self::Products,
            orders::PATH => Self::Orders,
            openapi::PATH => Self::Document,
            health::HEALTH if admin => Self::Health,
            health::READY if admin => Self::Ready,
            health::METRICS if admin => Self::Metrics,
            _ => match path.rsplit_once('/')? {
                (_, "") => return None,
                (products::LIST_ROUTE, name) => Self::Product(name),
                (orders::PATH, number) => Self::Order(number),
                _ => return None,
            },
        })
    }

    /// The name of the route in metrics, traces and the [document](openapi).
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Products => products::LIST_ROUTE,
            Self::Product(_) => products::ROUTE,
            Self::Orders => orders::PATH,
            Self::Order(_) => orders::ROUTE,
            Self::Document => openapi::PATH,
            Self::Health => health::HEALTH,
            Self::Ready => health::READY,
            Self::Metrics => health::METRICS,
        }
    }

    /// The methods that the route supports. They all do the same.
    pub(crate) fn allow(self) -> &'static [Method] {
        match self {
            Self::Orders => &const { [Method::POST] },
            // Some stores of this kind read orders by POST; their clients work here, too.
            Self::Order(_) => &const { [Method::GET, Method::HEAD, Method::POST] },
            _ => READ,
        }
    }

    /// Whether a request may belong to a [session](crate::session).
    pub(crate) fn has_session(self) -> bool {
        !matches!(self, Self::Health | Self::Ready | Self::Metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_their_routes() {
        let table = [
            ("/products", Some(Route::Products)),
            ("/products/", Some(Route::Products)),
            ("/products/Tux", Some(Route::Product("Tux"))),
            ("/products/Tux/", Some(Route::Product("Tux"))),
            ("/products/off%2Fon%FF", Some(Route::Product("off%2Fon%FF"))),
            ("/products/..", Some(Route::Product(".."))),
            ("/orders", Some(Route::Orders)),
            ("/orders/", Some(Route::Orders)),
            ("/orders/7", Some(Route::Order("7"))),
            ("/orders/7/", Some(Route::Order("7"))),
            ("/openapi.json", Some(Route::Document)),
            ("/openapi.json/", Some(Route::Document)),
            ("/metrics/", Some(Route::Metrics)),
            ("", None),
            ("/", None),
            ("//", None),
            ("*", None),
            ("products", None),
            ("/products//", None),
            ("/products/off/on", None),
            ("/products/Tux//", None),
            ("//orders/7", None),
            ("/orders/7/8", None),
            ("/Orders", None),
            ("/cache", None),
        ];
        for (path, route) in table {
            assert_eq!(Route::parse(path, true), route, "{path}");
        }
    }

    #[test]
    fn every_template_is_a_path_of_its_route_and_health_may_be_hidden() {
        for route in Route::ALL {
            let parsed = Route::parse(route.template(), true).map(Route::template);
            assert_eq!(parsed, Some(route.template()));
            assert_eq!(Route::parse(route.template(), false).is_some(), route.has_session(), "{route:?}");
        }
    }
}
