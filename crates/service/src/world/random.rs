//! Random numbers, from the operating system or from the world that the thread is in.

use super::boundary::current;

/// 64 random bits.
pub fn random() -> u64 {
    current().map_or_else(rand::random, |world| world.random())
}

/// A random number from 0 (inclusive) to 1 (exclusive).
pub fn random_fraction() -> f64 {
    // The upper 53 bits: as many as a double's fraction has.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in a double")]
    let fraction = (random() >> 11) as f64 / (1_u64 << 53) as f64;
    fraction
}

/// A random (version 4) UUID.
pub fn random_uuid() -> uuid::Uuid {
    let [high, low] = [random(), random()].map(u128::from);
    uuid::Builder::from_u128(high << 64 | low).with_version(uuid::Version::Random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_below_one_and_uuids_are_random() {
        for _ in 0..1000 {
            assert!((0.0..1.0).contains(&random_fraction()));
        }
        assert_eq!(random_uuid().get_version_num(), 4);
        assert_ne!(random_uuid(), random_uuid());
    }
}
