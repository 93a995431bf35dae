//! Numbers as people read them, in one place: log lines, summaries of pages, mails.

/// A value without superfluous digits: whole from 100 on, else three significant digits; `1.5e9` beyond a
/// million's worth of digits and below a thousandth.
pub fn plain(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e9).contains(&size) {
        format!("{value:.3e}")
    } else if size >= 99.95 {
        format!("{value:.0}")
    } else {
        // Digits before the point: 2 for 10..100, 1 for 1..10, 0 and less below.
        let whole = size.log10().floor() as i32 + 1;
        let decimals = usize::try_from(3 - whole).unwrap_or(0);
        let text = format!("{value:.decimals$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// The value with its unit behind it, where there is one.
pub fn with_unit(value: f64, unit: &str) -> String {
    if unit.is_empty() { plain(value) } else { format!("{} {unit}", plain(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_lie_by_more_than_three_digits() {
        for (value, text) in [
            (1580.2, "1580"),
            (111.8, "112"),
            (99.96, "100"),
            (99.94, "99.9"),
            (1000.0, "1000"),
            (0.5, "0.5"),
            (0.12345, "0.123"),
            (0.01, "0.01"),
            (2.0, "2"),
            (-3.25, "-3.25"),
            (0.0, "0"),
            (1.5e12, "1.500e12"),
        ] {
            assert_eq!(plain(value), text);
        }
        assert_eq!(with_unit(12.0, "ms"), "12 ms");
        assert_eq!(with_unit(12.0, ""), "12");
    }
}
