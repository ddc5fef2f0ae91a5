//! Whether the frontends that `up` runs have a cache.

use store_console::ControlError;

use super::action::invalid;
use crate::local::{StoreLayout, StoreMember};

/// The frontends' setting for the size of their cache; 0 turns it off.
const CACHE_SIZE: &str = "CACHE_SIZE";

/// The setting of all frontends.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheSetting {
    is_on: bool,
    /// Whether the frontends have a cache if nobody switches it off.
    is_configured: bool,
}

impl CacheSetting {
    /// The setting in the environment, which the frontends inherit.
    pub(super) fn configured() -> Self {
        Self::with(std::env::var(CACHE_SIZE).ok().as_deref())
    }

    fn with(size: Option<&str>) -> Self {
        let is_off = size.is_some_and(|size| size.trim().parse() == Ok(0_usize));
        Self { is_on: !is_off, is_configured: !is_off }
    }

    /// Whether the caches are on.
    pub(super) fn is_on(self) -> bool {
        self.is_on
    }

    /// Switches them on or off. False if they already are.
    ///
    /// # Errors
    /// If there is no size that they could have.
    pub(super) fn switch(&mut self, on: bool) -> Result<bool, ControlError> {
        if on && !self.is_configured {
            return Err(invalid(format!(
                "the frontends have no cache because {CACHE_SIZE} is 0: start toystore up with another {CACHE_SIZE}"
            )));
        }
        Ok(std::mem::replace(&mut self.is_on, on) != on)
    }

    /// The layout in which the frontends have this setting.
    pub(super) fn apply(self, layout: StoreLayout, frontends: &[StoreMember]) -> StoreLayout {
        frontends.iter().fold(layout, |layout, frontend| {
            if self.is_on {
                layout.without_member_variable(*frontend, CACHE_SIZE)
            } else {
                layout.with_member_variable(*frontend, CACHE_SIZE, 0)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_configured_size_comes_back() {
        let (frontend, mut cache) = (StoreMember::Frontend(1), CacheSetting::with(Some("5")));
        let size = |cache: CacheSetting, layout| {
            let command = cache.apply(layout, &[frontend]).command(Path::new("toystore"), frontend);
            let size = command.as_std().get_envs().find(|(name, _)| *name == CACHE_SIZE).map(|(_, value)| value);
            size.map(|size| size.map(std::ffi::OsStr::to_owned))
        };
        assert_eq!((cache.switch(true), cache.switch(false)), (Ok(false), Ok(true)));
        let off = cache.apply(StoreLayout::default(), &[frontend]);
        assert_eq!(size(cache, off.clone()), Some(Some("0".into())));
        assert_eq!((cache.switch(true), cache.is_on()), (Ok(true), true));
        assert_eq!(size(cache, off), None, "it is inherited");
    }

    #[test]
    fn a_cache_that_has_no_size_cannot_be_switched_on() {
        for off in ["0", " 0 ", "00"] {
            let mut cache = CacheSetting::with(Some(off));
            assert!(!cache.is_on() && cache.switch(false) == Ok(false));
            assert!(cache.switch(true).unwrap_err().to_string().contains("CACHE_SIZE is 0"));
        }
        assert!(CacheSetting::with(None).is_on());
    }
}
