//! Trace context: the ids of a span and its trace, and the `traceparent` header of W3C Trace
//! Context (<https://www.w3.org/TR/trace-context/>).

use axum::http::HeaderValue;

use crate::world;

/// Identifies a span and its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub(super) trace_id: u128,
    pub(super) span_id: u64,
    /// Whether the trace is recorded.
    pub(super) sampled: bool,
}

impl TraceContext {
    /// The root of a new trace that is recorded.
    pub(super) fn root() -> Self {
        Self { trace_id: world::random_uuid().as_u128(), span_id: random_id(), sampled: true }
    }

    /// A child of this span.
    pub(super) fn child(self) -> Self {
        Self { span_id: random_id(), ..self }
    }

    /// Parses the header. Zero ids and capital letters are invalid. Later versions of the header
    /// may have more fields at the end.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (version, rest) = (header.get(..2)?, header.get(2..55)?);
        let more = header.get(55..)?;
        let known = hex(version)?;
        if known == 0xff || (known == 0 && !more.is_empty()) || !(more.is_empty() || more.starts_with('-')) {
            return None;
        }
        let mut fields = rest.strip_prefix('-')?.split('-');
        let (trace_id, span_id, flags) = (fields.next()?, fields.next()?, fields.next()?);
        if (trace_id.len(), span_id.len(), flags.len()) != (32, 16, 2) {
            return None;
        }
        let (trace_id, span_id, flags) = (hex(trace_id)?, u64::try_from(hex(span_id)?).ok()?, hex(flags)?);
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }

    /// The header that makes the receiver's span a child of this one.
    pub(super) fn header(self) -> HeaderValue {
        let Self { trace_id, span_id, sampled } = self;
        let text = format!("00-{trace_id:032x}-{span_id:016x}-{:02x}", u8::from(sampled));
        HeaderValue::try_from(text).expect("hexadecimal digits are visible ASCII")
    }
}

fn random_id() -> u64 {
    world::random().max(1)
}

fn hex(digits: &str) -> Option<u128> {
    let all = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if all { u128::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_and_written() {
        let context = TraceContext::parse(KNOWN).unwrap();
        assert_eq!(context.header(), KNOWN);
        assert!(context.sampled);
        let child = context.child();
        assert_eq!((child.trace_id, child.sampled), (context.trace_id, true));
        assert_ne!(child.span_id, context.span_id);
        assert!(!TraceContext::parse(&KNOWN.replace("-01", "-00")).unwrap().sampled);
        assert!(TraceContext::parse(&format!("{}-more", KNOWN.replacen("00", "cc", 1))).is_some(), "a later version");
    }

    #[test]
    fn an_invalid_header_is_ignored() {
        let bad = [
            String::new(),
            "00".into(),
            KNOWN.to_uppercase(),
            format!("{KNOWN}-more"),
            format!("{KNOWN}0"),
            KNOWN.replacen("00", "ff", 1),
            KNOWN.replace("00f067aa0ba902b7", "0000000000000000"),
            KNOWN.replace("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
            KNOWN.replace('4', "é"),
            KNOWN.replacen('-', "_", 2),
        ];
        for header in bad {
            assert_eq!(TraceContext::parse(&header), None, "{header}");
        }
    }
}
