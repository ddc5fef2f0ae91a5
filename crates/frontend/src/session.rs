//! The shopper's session: `Session-ID` is echoed, and is in every log line about the request.

use api::{ErrorCode, SESSION_ID_HEADER};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service::http::Failure;
use tracing::Instrument;

/// The longest session id, in characters.
pub(crate) const SESSION_ID_CHARS_MAX: usize = 128;

/// Middleware. A request without the header costs one look-up.
pub(crate) async fn echo(request: Request, next: Next) -> Response {
    let Some(id) = request.headers().get(SESSION_ID_HEADER).cloned() else {
        return next.run(request).await;
    };
    let Some(text) = checked(&id) else {
        let what = format!("the header Session-ID must be 1 to {SESSION_ID_CHARS_MAX} visible ASCII characters");
        return Failure::new(ErrorCode::BadRequest, what).into_response();
    };
    let span = tracing::info_span!("session", session_id = text);
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(HeaderName::from_static(SESSION_ID_HEADER), id);
    response
}

/// What may go into a log: nothing that could forge another line or flood it.
fn checked(id: &HeaderValue) -> Option<&str> {
    let text = id.to_str().ok()?;
    let fits = (1..=SESSION_ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_short_and_visible() {
        let longest = "x".repeat(SESSION_ID_CHARS_MAX);
        for good in ["7", "a-b_c:42", &longest] {
            assert_eq!(checked(&HeaderValue::from_str(good).unwrap()), Some(good));
        }
        let too_long = format!("{longest}x");
        for bad in ["", "two words", "tab\tbed", "grün", &too_long] {
            assert_eq!(checked(&HeaderValue::from_str(bad).unwrap()), None, "{bad:?}");
        }
    }
}
