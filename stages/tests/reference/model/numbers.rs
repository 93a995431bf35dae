//! Statistics from plain lists.

use super::Kept;
use stages::settings::{Rule, Stat};

/// The rule's statistic over what lies in its window.
pub fn statistic(rule: &Rule, window: &[&Kept]) -> Option<f64> {
    let values: Vec<f64> = window.iter().map(|kept| kept.value).collect();
    let count = values.len() as f64;
    if rule.stat == Stat::Count {
        return Some(count);
    }
    if values.is_empty() {
        return None;
    }
    let share = |beyond: fn(&f64, &f64) -> bool| {
        values.iter().filter(|value| beyond(value, &rule.threshold)).count() as f64 / count
    };
    match rule.stat {
        Stat::Mean => Some(sum(&values) / count),
        Stat::Min => values.into_iter().reduce(f64::min),
        Stat::Max => values.into_iter().reduce(f64::max),
        Stat::Sum => Some(sum(&values)),
        Stat::Count => Some(count),
        Stat::Rate => rate(window),
        // Of two at one time, the one that came later.
        Stat::Last => window.iter().max_by_key(|kept| kept.time).map(|kept| kept.value),
        Stat::Stddev => {
            let mean = sum(&values) / count;
            let squares: Vec<f64> = values.iter().map(|value| (value - mean).powi(2)).collect();
            Some((sum(&squares) / count).sqrt())
        }
        Stat::Percentile(q) => Some(percentile(&values, q)),
        Stat::Above => Some(share(|value, threshold| value > threshold)),
        Stat::Below => Some(share(|value, threshold| value < threshold)),
    }
}

/// The exact sum, rounded once: partial sums that do not overlap (Shewchuk), added from the largest.
pub fn sum(values: &[f64]) -> f64 {
    let mut partials: Vec<f64> = Vec::new();
    for value in values {
        let (mut one, mut kept) = (*value, Vec::new());
        for partial in partials {
            let (large, small) =
                if one.abs() >= partial.abs() { (one, partial) } else { (partial, one) };
            let high = large + small;
            let low = small - (high - large);
            if low != 0.0 {
                kept.push(low);
            }
            one = high;
        }
        kept.push(one);
        partials = kept;
    }
    let (mut total, mut left) = (0.0, 0.0);
    while let Some(partial) = partials.pop() {
        let before = total;
        total = before + partial;
        left = partial - (total - before);
        if left != 0.0 {
            break;
        }
    }
    // Half-way cases go by the sign of what is left below.
    if let Some(below) = partials.pop()
        && left != 0.0
        && (below < 0.0) == (left < 0.0)
        && total + 2.0 * left - total == 2.0 * left
    {
        return total + 2.0 * left;
    }
    total
}

/// Nearest rank, in the range that percentiles cover.
pub fn percentile(values: &[f64], q: f64) -> f64 {
    let covered = |value: &f64| match value.abs() {
        size if size < 1e-6 => 0.0,
        size => size.min(1e12).copysign(*value),
    };
    let mut sorted: Vec<f64> = values.iter().map(covered).collect();
    sorted.sort_by(f64::total_cmp);
    let rank = (q / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Rises of each series over its covered span, added up; a counter that falls began again from zero.
fn rate(window: &[&Kept]) -> Option<f64> {
    let mut series: Vec<&str> = window.iter().map(|kept| kept.series.as_str()).collect();
    series.sort_unstable();
    series.dedup();
    let slope = |name: &str| {
        let mut points: Vec<&&Kept> = window.iter().filter(|kept| kept.series == name).collect();
        points.sort_by_key(|kept| kept.time);
        // Several at one time: the first that came says what it was then.
        points.dedup_by_key(|kept| kept.time);
        let rises = points.windows(2).map(|pair| match pair[1].value - pair[0].value {
            rise if rise < 0.0 && pair[0].counter => pair[1].value,
            rise => rise,
        });
        let covered = points.last()?.time.since(points.first()?.time).as_secs_f64();
        (covered > 0.0).then(|| rises.sum::<f64>() / covered)
    };
    series.into_iter().filter_map(slope).reduce(|one, other| one + other)
}

/// Mean of the newest ten seconds with data; what comes from ahead counts when it came.
pub fn level(samples: &[Kept]) -> Option<f64> {
    let second = |kept: &Kept| kept.time.min(kept.arrived).0.div_euclid(1_000_000_000);
    let newest = samples.iter().map(second).max()?;
    let newest = samples.iter().filter(|kept| second(kept) > newest - 10);
    let values: Vec<f64> = newest.map(|kept| kept.value).collect();
    Some(sum(&values) / values.len() as f64)
}
