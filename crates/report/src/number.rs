//! Numbers as people read them.

/// A number with three significant digits and at most three decimals, in groups of three: `0.593`,
/// `36.4`, `17,566`.
pub fn number(value: f64) -> String {
    with_decimals(value, decimals(value))
}

/// A count in groups of three: `17,566`.
pub fn count(count: u64) -> String {
    grouped(&count.to_string())
}

/// The decimals that a value needs for three significant digits; at most three.
pub(crate) fn decimals(value: f64) -> usize {
    match value.abs() {
        zero if zero < f64::MIN_POSITIVE => 0,
        small if small < 0.9995 => 3,
        small if small < 9.995 => 2,
        medium if medium < 99.95 => 1,
        _ => 0,
    }
}

/// A number with that many decimals, in groups of three.
pub(crate) fn with_decimals(value: f64, decimals: usize) -> String {
    grouped(&format!("{value:.decimals$}"))
}

/// A number with as many digits as are useful on an axis: `0.5`, `12`, `12.3k`.
pub(crate) fn tick(value: f64) -> String {
    let digits = match value.abs() {
        small if small < 0.995 => 2,
        small if small < 9.95 => 1,
        large if large >= 10_000.0 => return format!("{}k", (value / 100.0).round() / 10.0),
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    if digits == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

fn grouped(number: &str) -> String {
    let digits = number.find('.').unwrap_or(number.len());
    let mut grouped = String::with_capacity(number.len() + digits / 3);
    for (at, digit) in number.char_indices() {
        if (1..digits).contains(&at) && (digits - at).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_digits() {
        let numbers = [0.0, 0.0123, 0.93, 0.9996, 3.456, 36.42, 99.96, 216.45, 1000.0, 17_566.4, 1_234_567.0, -1234.0];
        assert_eq!(
            numbers.map(number),
            ["0", "0.012", "0.930", "1.00", "3.46", "36.4", "100", "216", "1,000", "17,566", "1,234,567", "-1,234"]
        );
        assert_eq!([0, 999, 1000, 75_028].map(count), ["0", "999", "1,000", "75,028"]);
        assert_eq!(with_decimals(1234.5, 2), "1,234.50");
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!(
            [0.0, 0.05, 0.15, 0.1 + 0.2, 0.5, 1.5, 2.0, 10.0, 12.34, 999.0, 12_345.0].map(tick),
            ["0", "0.05", "0.15", "0.3", "0.5", "1.5", "2", "10", "12", "999", "12.3k"]
        );
    }
}
