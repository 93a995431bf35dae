//! A pane of a rollup as samples again: as many, with its sum, smallest and largest, and its histogram where it kept one.
//!
//! What came when within the pane is lost. So samples lie evenly over it, and their values are mixed: every part of a pane
//! looks like the whole, and a window whose edge falls into it sees neither only its large values nor only its small
//! ones. Counters rise, as far as a pane can tell.

use stages::batch::Kind;
use stages::histogram::Counts;
use stages::rollup::RollupPane;
use stages::time::{Span, Time};

/// The samples of one pane, in order of time.
pub(super) fn samples(pane: RollupPane, kind: Kind, width: Span) -> Vec<(Time, f64)> {
    let (start, count) = (pane.start, pane.count);
    let mut values = values(pane);
    if kind == Kind::Gauge {
        values = mixed(values);
    }
    let every = width.0 / i64::try_from(count).unwrap_or(i64::MAX).max(1);
    let time = |at: i64| start.plus(Span(every * at + every / 2));
    values.into_iter().zip(0..).map(|(value, at)| (time(at), value)).collect()
}

/// Its values, smallest first.
fn values(pane: RollupPane) -> Vec<f64> {
    let RollupPane { count, sum, min, max, histogram, .. } = pane;
    let between = |value: f64| value.clamp(min, max);
    match count {
        0 => Vec::new(),
        1 => vec![sum],
        2 => vec![min, max],
        _ => match histogram {
            Some(counts) if counts.len() == count => spread(counts, (sum, min, max)),
            _ => {
                let inner = count - 2;
                let rest = between((sum - min - max) / inner as f64);
                let inner = std::iter::repeat_n(rest, inner as usize);
                [min].into_iter().chain(inner).chain([max]).collect()
            }
        },
    }
}

/// Values that fall into the buckets of a histogram, begin and end with these, and have this sum: all lie equally far into
/// their bucket.
fn spread(mut counts: Counts, (sum, min, max): (f64, f64, f64)) -> Vec<f64> {
    let buckets = counts.merged().iter();
    let buckets = buckets.flat_map(|(bucket, count)| std::iter::repeat_n(*bucket, *count as usize));
    let mut edges: Vec<(f64, f64)> = buckets.map(|one| (one.value(), one.far())).collect();
    if let Some(first) = edges.first_mut() {
        *first = (min, min);
    }
    if let Some(last) = edges.last_mut() {
        *last = (max, max);
    }
    let near: f64 = edges.iter().map(|(near, _)| near).sum();
    let room: f64 = edges.iter().map(|(near, far)| far - near).sum();
    let part = if room == 0.0 { 0.0 } else { ((sum - near) / room).clamp(0.0, 1.0) };
    let value = |(near, far): (f64, f64)| (near + part * (far - near)).clamp(min, max);
    edges.into_iter().map(value).collect()
}

/// The same values, large and small ones mixed, in one fixed order.
fn mixed(values: Vec<f64>) -> Vec<f64> {
    let count = values.len();
    // About the golden section, and without a divisor in common: every value has its turn.
    let from = (count as f64 * 0.618) as usize;
    let step = (from.max(1)..).find(|step| divisor(*step, count) <= 1).unwrap_or(1);
    (0..count).map(|at| values[at * step % count]).collect()
}

fn divisor(one: usize, other: usize) -> usize {
    if other == 0 { one } else { divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stages::histogram::Bucket;

    fn pane(values: &[f64], histogram: bool) -> RollupPane {
        let mut counts = Counts::default();
        values.iter().for_each(|value| counts.add(Bucket::of(*value)));
        RollupPane {
            start: Time::from_millis(60_000),
            count: values.len() as u64,
            sum: values.iter().sum(),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            histogram: histogram.then_some(counts),
        }
    }

    #[test]
    fn count_sum_smallest_and_largest_are_kept_and_all_lie_in_the_pane() {
        let minute = Span::from_secs(60);
        let all = [5.0, 110.0, 90.0, 4_000.0, 101.5, -3.0, 110.0, 0.0];
        for count in 1..=all.len() {
            for histogram in [false, true] {
                let before = pane(&all[..count], histogram);
                let found = samples(before.clone(), Kind::Gauge, minute);
                let values: Vec<f64> = found.iter().map(|(_, value)| *value).collect();
                let after = pane(&values, histogram);
                assert_eq!(
                    (after.count, after.min, after.max),
                    (before.count, before.min, before.max)
                );
                assert!((after.sum - before.sum).abs() < 1e-6, "{before:?} {after:?}");
                let end = before.start.plus(minute);
                assert!(found.is_sorted_by_key(|(time, _)| *time));
                assert!(found.iter().all(|(time, _)| (before.start..end).contains(time)));
            }
        }
    }

    #[test]
    fn percentiles_stay_where_a_histogram_was_kept() {
        let all: Vec<f64> = (0..1_000).map(|at| f64::from(at * at % 997) + 0.5).collect();
        let before = pane(&all, true);
        let found = samples(before.clone(), Kind::Gauge, Span::from_secs(10));
        let values: Vec<f64> = found.into_iter().map(|(_, value)| value).collect();
        let after = pane(&values, true);
        let of = |pane: RollupPane| {
            let mut counts = pane.histogram.unwrap();
            [50.0, 95.0, 99.0].map(|q| counts.percentile(q))
        };
        assert_eq!(of(after), of(before));
        // Any fifth of the pane looks like the pane.
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        for part in values.chunks(200) {
            assert!((mean(part) / mean(&values) - 1.0).abs() < 0.05, "{}", mean(part));
        }
    }

    #[test]
    fn a_counter_rises() {
        let found = samples(pane(&[7.0, 3.0, 5.0, 6.0], false), Kind::Counter, Span::from_secs(10));
        assert!(found.is_sorted_by(|one, other| one.1 <= other.1));
    }
}
