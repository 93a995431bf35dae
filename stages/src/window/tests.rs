//! Every statistic against a reference that keeps all samples and counts anew at each reading.

use super::*;
use crate::histogram::{Bucket, rank};
use proptest::prelude::*;

fn at(seconds: i64) -> Time {
    Time::from_millis(seconds * 1000)
}

fn window(stat: Stat, seconds: i64) -> Window {
    Window::new(WindowSpec { stat, window: Span::from_secs(seconds), threshold: 100.0 }, None)
}

fn fill(window: &mut Window, samples: &[(i64, f64)], now: i64) {
    for (second, value) in samples {
        window.add(0, at(*second), *value, Kind::Gauge, at(now));
    }
}

#[test]
fn every_statistic_of_a_small_window() {
    let samples = [(1, 90.0), (2, 110.0), (3, 130.0), (4, 70.0)];
    for (stat, expected) in [
        (Stat::Mean, 100.0),
        (Stat::Min, 70.0),
        (Stat::Max, 130.0),
        (Stat::Sum, 400.0),
        (Stat::Count, 4.0),
        (Stat::Rate, -20.0 / 3.0),
        (Stat::Last, 70.0),
        (Stat::Stddev, 500.0_f64.sqrt()),
        (Stat::Percentile(50.0), 90.0),
        (Stat::Percentile(99.9), 130.0),
        (Stat::Above, 0.5),
        (Stat::Below, 0.5),
    ] {
        let mut window = window(stat, 60);
        assert_eq!(window.read(at(4)).count, 0);
        fill(&mut window, &samples, 4);
        let reading = window.read(at(4));
        assert_eq!(reading.value, Some(expected), "{stat:?}");
        assert_eq!(
            (reading.mean, reading.min, reading.max),
            (Some(100.0), Some(70.0), Some(130.0))
        );
        assert_eq!((reading.panes, reading.panes_filled, reading.series), (4, 4, 1));
        assert_eq!(reading.newest, Some(at(4)));
        assert_eq!(reading.percentiles.is_some(), stat.needs_histogram());
    }
}

#[test]
fn an_empty_window_has_no_value_but_a_count() {
    assert_eq!(window(Stat::Count, 60).read(at(9)).value, Some(0.0));
    assert_eq!(window(Stat::Mean, 60).read(at(9)).value, None);
    assert_eq!(window(Stat::Percentile(99.0), 60).read(at(9)).percentiles, None);
    assert_eq!(window(Stat::Mean, 60).next_leave(), None);
}

#[test]
fn a_pane_leaves_at_the_instant_that_was_named() {
    let mut window = window(Stat::Sum, 60);
    fill(&mut window, &[(100, 5.0), (110, 7.0)], 110);
    let leave = window.next_leave().expect("filled");
    assert_eq!(leave, at(161));
    assert_eq!(window.read(Time(leave.0 - 1)).value, Some(12.0));
    assert_eq!(window.read(leave).value, Some(7.0));
    assert_eq!(window.read(at(171)).count, 0);
    assert_eq!(window.newest(), Some(at(110)));
}

#[test]
fn late_and_early_samples_are_placed_by_their_own_time() {
    let mut window = window(Stat::Max, 60);
    fill(&mut window, &[(100, 1.0)], 100);
    assert_eq!(window.add(0, at(39), 9.0, Kind::Gauge, at(100)), Placement::Late);
    assert_eq!(window.add(0, at(40), 8.0, Kind::Gauge, at(100)), Placement::Counted);
    assert_eq!(window.add(0, at(130), 7.0, Kind::Gauge, at(100)), Placement::Waiting);
    assert_eq!(window.read(at(100)).value, Some(8.0));
    assert_eq!(window.next_leave(), Some(at(101)));
    assert_eq!(window.read(at(101)).value, Some(1.0));
    assert_eq!(window.next_leave(), Some(at(130)));
    assert_eq!(window.read(at(130)).value, Some(7.0));
}

#[test]
fn nothing_before_from_counts() {
    let spec = WindowSpec { stat: Stat::Mean, window: Span::from_secs(60), threshold: 0.0 };
    let mut window = Window::new(spec, Some(Time::from_millis(10_500)));
    assert_eq!(
        window.add(0, Time::from_millis(10_499), 9.0, Kind::Gauge, at(11)),
        Placement::TooEarly
    );
    assert_eq!(
        window.add(0, Time::from_millis(10_500), 1.0, Kind::Gauge, at(11)),
        Placement::Counted
    );
    let reading = window.read(at(11));
    assert_eq!((reading.value, reading.window_start), (Some(1.0), Time::from_millis(10_500)));
}

#[test]
fn a_cell_of_sixty_panes_stays_below_its_limit() {
    let mut mean = window(Stat::Mean, 60);
    let mut p99 = window(Stat::Percentile(99.0), 300);
    for second in 0..600 {
        let value = 100.0 + (second * 7919 % 101) as f64 * 0.3;
        for window in [&mut mean, &mut p99] {
            window.add(0, at(second), value, Kind::Gauge, at(second));
        }
    }
    // A cell is the window, the level and a share of keys: 1536 bytes for a mean, 4096 for a percentile.
    let level = size_of::<crate::level::Level>();
    assert!(mean.bytes() <= 1250, "mean: {} bytes", mean.bytes());
    assert!(p99.bytes() + level + 150 <= 4096, "p99: {} bytes", p99.bytes());
}

#[test]
fn values_far_apart_stay_exact() {
    let mut window = window(Stat::Sum, 60);
    let values = [0.0, 0.1, 1e9, 1e-9, 3e40, -3e40, 5e-324, 1e300, -1e300];
    for (second, value) in values.into_iter().enumerate() {
        fill(&mut window, &[(second as i64, value)], 59);
    }
    let mut expected = crate::exact::Sum::default();
    values.iter().for_each(|value| expected.add(*value));
    assert_eq!(window.read(at(59)).value, Some(expected.value()));
    // Once all of that has left, the window is small again.
    fill(&mut window, &[(200, 7.0)], 200);
    assert_eq!(window.read(at(200)).value, Some(7.0));
    assert!(window.bytes() <= 1250, "{} bytes", window.bytes());
}

#[test]
fn a_million_samples_in_a_pane_are_counted() {
    let mut window = window(Stat::Mean, 60);
    for _ in 0..(1 << 20) + 10 {
        window.add(0, at(1), 0.1, Kind::Gauge, at(1));
    }
    let reading = window.read(at(1));
    assert_eq!((reading.count, reading.value), ((1 << 20) + 10, Some(0.1)));
    assert_eq!(window.read(at(100)).count, 0);
}

#[test]
fn series_are_counted_whatever_their_order() {
    let mut window = window(Stat::Mean, 60);
    for series in [5, 1, 9, 5, 7, 1, 3, 9, 9, 0] {
        window.add(series, at(1), 1.0, Kind::Gauge, at(1));
    }
    window.add(7, at(30), 1.0, Kind::Gauge, at(30));
    window.add(0, at(30), 1.0, Kind::Gauge, at(30));
    assert_eq!(window.read(at(30)).series, 6);
    assert_eq!(window.read(at(70)).series, 2);
}

#[test]
fn a_broken_snapshot_is_refused() {
    let mut window = window(Stat::Percentile(99.0), 60);
    fill(&mut window, &[(1, 1.0), (2, 2.0)], 2);
    let mut bytes = Vec::new();
    window.save(&mut bytes);
    for end in 0..bytes.len() {
        assert!(Window::load(&bytes[..end]).is_err());
    }
}

/// What [`Window`] must say, the slow way.
struct Reference {
    spec: WindowSpec,
    samples: Vec<Sample>,
}

impl Reference {
    fn in_window(&self, now: Time) -> Vec<Sample> {
        let panes = Panes::of(self.spec.window);
        let inside = |sample: &&Sample| {
            let start = panes.start(panes.number(sample.time));
            start.0 > now.0 - panes.window.0 - panes.width.0 && start <= now
        };
        self.samples.iter().filter(inside).copied().collect()
    }

    fn value(&self, now: Time) -> Option<f64> {
        let all = self.in_window(now);
        let values: Vec<f64> = all.iter().map(|sample| sample.value).collect();
        let n = values.len() as f64;
        if self.spec.stat == Stat::Count {
            return Some(n);
        }
        if all.is_empty() {
            return None;
        }
        let mut sum = crate::exact::Sum::default();
        values.iter().for_each(|value| sum.add(*value));
        let mut buckets: Vec<Bucket> = values.iter().map(|value| Bucket::of(*value)).collect();
        buckets.sort_unstable();
        let edge = Bucket::of(self.spec.threshold);
        let share = |part: usize| part as f64 / n;
        Some(match self.spec.stat {
            Stat::Mean => sum.value() / n,
            Stat::Sum => sum.value(),
            Stat::Min => values.iter().copied().reduce(f64::min)?,
            Stat::Max => values.iter().copied().reduce(f64::max)?,
            Stat::Percentile(q) => buckets[rank(values.len() as u64, q) as usize - 1].value(),
            Stat::Above => share(buckets.iter().filter(|bucket| **bucket > edge).count()),
            Stat::Below => share(buckets.iter().filter(|bucket| **bucket < edge).count()),
            _ => return None,
        })
    }
}

fn any_stat() -> impl Strategy<Value = Stat> {
    prop_oneof![
        Just(Stat::Mean),
        Just(Stat::Sum),
        Just(Stat::Count),
        Just(Stat::Min),
        Just(Stat::Max),
        Just(Stat::Percentile(99.0)),
        Just(Stat::Percentile(50.0)),
        Just(Stat::Above),
        Just(Stat::Below)
    ]
}

proptest! {
    #[test]
    fn the_window_says_what_counting_anew_says(
        stat in any_stat(), seconds in 1..200_i64, tame in any::<bool>(),
        steps in proptest::collection::vec(
            (0..20_000_i64, -150_000..30_000_i64,
             prop_oneof![-500.0..500.0, Just(0.1), -1e20..1e20, 1e-30..1e-20_f64], 0..4_u32), 1..150),
        reload_at in 0..150_usize,
    ) {
        let spec = WindowSpec { stat, window: Span::from_secs(seconds), threshold: 100.0 };
        let mut window = Window::new(spec, None);
        let mut reference = Reference { spec, samples: Vec::new() };
        let mut now = at(1_700_000_000);
        for (step, (passed, offset, value, series)) in steps.into_iter().enumerate() {
            now = now.plus(Span::from_millis(passed / 10));
            let time = now.plus(Span(offset * 1_000_000));
            let value = if tame { value % 1000.0 / 7.0 } else { value };
            let placed = window.add(series, time, value, Kind::Gauge, now);
            let panes = Panes::of(spec.window);
            let left = panes.leaves(panes.number(time)) <= now;
            prop_assert_eq!(placed == Placement::Late, left);
            if !left {
                reference.samples.push(Sample { series, time, value, kind: Kind::Gauge });
            }
            if step == reload_at {
                let mut bytes = Vec::new();
                window.save(&mut bytes);
                window = Window::load(&bytes).expect("just saved").0;
                let mut again = Vec::new();
                window.save(&mut again);
                prop_assert_eq!(again, bytes);
            }
            let reading = window.read(now);
            prop_assert_eq!(reading.value, reference.value(now));
            let inside = reference.in_window(now);
            prop_assert_eq!(reading.count, inside.len() as u64);
            let smallest = inside.iter().map(|sample| sample.value).reduce(f64::min);
            prop_assert_eq!(reading.min, smallest);
            let mut series: Vec<u32> = inside.iter().map(|sample| sample.series).collect();
            series.sort_unstable();
            series.dedup();
            prop_assert_eq!(reading.series as usize, series.len());
            let mut filled: Vec<i64> = inside.iter().map(|sample| panes.number(sample.time)).collect();
            filled.sort_unstable();
            filled.dedup();
            prop_assert_eq!(reading.panes_filled as usize, filled.len());
            let leave = filled.first().map(|pane| panes.leaves(*pane));
            let begin = reference.samples.iter().map(|sample| panes.start(panes.number(sample.time)))
                .filter(|start| *start > now).min();
            prop_assert_eq!(window.next_leave(), leave.into_iter().chain(begin).min());
        }
    }

    #[test]
    fn a_damaged_window_never_panics(
        stat in any_stat(), seconds in 1..100_i64, rounds in 1..40_i64,
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut window = window(stat, seconds);
        for n in 0..rounds * 40 {
            window.add((n % 3) as u32, at(n / 10), n as f64 * 0.7, Kind::Counter, at(n / 10));
        }
        window.add(0, at(rounds * 4 + 30), 1.0, Kind::Gauge, at(rounds * 4));
        let mut bytes = Vec::new();
        window.save(&mut bytes);
        for (index, byte) in damage {
            let index = 4 + index.index(bytes.len() - 4);
            bytes[index] = byte;
        }
        if let Ok((mut loaded, _)) = Window::load(&bytes) {
            use_up(&mut loaded, at(rounds * 4));
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), tag in 0..11_u8) {
        let length = (bytes.len() as u32).to_le_bytes();
        // A spec that is sound, so that what follows it is looked at.
        let spec = window(Stat::Mean, 60);
        let mut sound = Vec::new();
        spec.save(&mut sound);
        sound[4] = tag;
        sound.truncate(30);
        sound.extend_from_slice(&bytes);
        let body = (sound.len() as u32 - 4).to_le_bytes();
        sound[..4].copy_from_slice(&body);
        if let Ok((mut loaded, _)) = Window::load(&sound) {
            use_up(&mut loaded, at(100));
        }
        bytes.splice(..0, length);
        let _ = Window::load(&bytes);
        let _ = crate::level::Level::load(&bytes);
    }
}

/// Does with a window all that can be done.
fn use_up(window: &mut Window, now: Time) {
    for step in 0..200 {
        let now = now.plus(Span::from_millis(step * 700));
        window.add(1, now, 5.5, Kind::Counter, now);
        window.read(now);
        window.next_leave();
    }
    window.save(&mut Vec::new());
    window.read(Time(i64::MAX));
}
