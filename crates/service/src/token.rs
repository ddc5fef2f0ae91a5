//! The secret that the services share (`INTERNAL_TOKEN`).

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;

/// Shared secret of the internal ports. Never printed; compared in constant time.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// The secret as it goes into a header: visible ASCII, 8 characters or more.
    pub fn new(secret: &str) -> Result<Self, String> {
        if secret.len() < 8 || !secret.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("must be 8 or more visible ASCII characters".into());
        }
        Ok(Self(secret.into()))
    }

    /// The secret itself, for the header of a request.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Whether `offered` is the secret; takes as long for a near miss as for a far one.
    pub fn matches(&self, offered: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(offered).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl std::str::FromStr for Token {
    type Err = String;
    fn from_str(secret: &str) -> Result<Self, String> {
        Self::new(secret)
    }
}
