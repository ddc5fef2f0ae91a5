//! The client's session: the header `Session-ID` is echoed in the response, and is part of every
//! log line about the request.

use api::{ErrorCode, SESSION_ID_HEADER};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use service::http::ErrorResponse;
use tracing::Span;

/// The longest session id, in characters.
pub(crate) const SESSION_ID_CHARS_MAX: usize = 128;

/// The session of a request, if its client has named one.
#[derive(Debug, Default)]
pub(crate) struct Session(Option<HeaderValue>);

impl Session {
    /// The session of a request with these headers. Costs one lookup if there is none.
    ///
    /// # Errors
    /// If the header has a value that must not be logged.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ErrorResponse> {
        let id = headers.get(SESSION_ID_HEADER);
        if id.is_some_and(|id| valid(id).is_none()) {
            let what = format!("the header Session-ID must be 1 to {SESSION_ID_CHARS_MAX} visible ASCII characters");
            return Err(ErrorResponse::new(ErrorCode::BadRequest, what));
        }
        Ok(Self(id.cloned()))
    }

    /// The span of log lines about the request.
    pub(crate) fn span(&self) -> Span {
        let id = self.0.as_ref().and_then(valid);
        id.map_or_else(Span::none, |id| tracing::info_span!("session", session_id = id))
    }

    /// Adds the header to the response.
    pub(crate) fn echo(self, mut response: Response) -> Response {
        if let Some(id) = self.0 {
            response.headers_mut().insert(HeaderName::from_static(SESSION_ID_HEADER), id);
        }
        response
    }
}

/// The id as text, if it may be logged: it cannot forge another log line, and is not too long.
fn valid(id: &HeaderValue) -> Option<&str> {
    let text = id.to_str().ok()?;
    is_visible(text, SESSION_ID_CHARS_MAX).then_some(text)
}

/// Whether a header's text has 1 to `chars_max` characters, all of them visible ASCII.
pub(crate) fn is_visible(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_short_and_of_visible_characters() {
        let longest = "x".repeat(SESSION_ID_CHARS_MAX);
        for good in ["7", "a-b_c:42", &longest] {
            assert_eq!(valid(&HeaderValue::from_str(good).unwrap()), Some(good));
        }
        let too_long = format!("{longest}x");
        for bad in ["", "two words", "tab\tbed", "grün", &too_long] {
            assert_eq!(valid(&HeaderValue::from_str(bad).unwrap()), None, "{bad:?}");
        }
    }
}
