//! The secret that the services share (`INTERNAL_TOKEN`).

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::world;

/// The shared secret of the internal ports. Never printed; compared in constant time.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// Checks the secret: 8 or more visible ASCII characters, so that it can be sent in a header.
    pub fn new(secret: &str) -> Result<Self, String> {
        if secret.len() < 8 || !secret.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("must be 8 or more visible ASCII characters".into());
        }
        Ok(Self(secret.into()))
    }

    /// A new secret of 128 random bits.
    pub fn random() -> Self {
        Self(world::random_uuid().simple().to_string().into())
    }

    /// The secret itself, for the header of a request.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Whether `offered` is the secret. Takes the same time for all values of the same length.
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
