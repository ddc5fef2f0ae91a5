//! How many shoppers' requests are worked on at once. Past that a request is refused at once: it would only wait, and
//! hold memory while it waits.

use std::sync::Arc;

use api::ErrorCode;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service::http::Failure;
use tokio::sync::Semaphore;

/// Requests at once. At the 5 s that each may last it is still far more than a store of one order leader can serve;
/// at 16 KiB of body each it is 64 MiB.
pub(crate) const IN_FLIGHT_MAX: usize = 4096;

/// Places for requests. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission(Arc<Semaphore>);

impl Admission {
    /// For so many requests at once.
    pub(crate) fn new(in_flight_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(in_flight_max)))
    }
}

/// Middleware.
pub(crate) async fn admit(State(admission): State<Admission>, request: Request, next: Next) -> Response {
    let Ok(_place) = admission.0.try_acquire() else {
        return Failure::new(ErrorCode::Overloaded, "too many requests at once").into_response();
    };
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::middleware;
    use axum::routing::get;
    use tokio::sync::Notify;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn one_more_than_fits_is_refused_at_once_and_a_place_is_given_back() {
        let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (handler_begun, handler_end) = (Arc::clone(&begun), Arc::clone(&end));
        let handler = async move || {
            handler_begun.notify_one();
            handler_end.notified().await;
        };
        let admission = Admission::new(1);
        let routes = Router::new().route("/", get(handler)).layer(middleware::from_fn_with_state(admission, admit));
        let request = || routes.clone().oneshot(Request::new(Body::empty()));

        let first = tokio::spawn(request());
        begun.notified().await;
        assert_eq!(request().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        end.notify_one();
        assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
        end.notify_one();
        assert_eq!(request().await.unwrap().status(), StatusCode::OK);
    }
}
