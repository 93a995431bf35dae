//! Buckets, ranks, levels and the wire against slow references.

use super::bucket::BUCKETS;
use super::wire::SCALES;
use super::*;
use crate::batch::varint::Cursor;
use hdrhistogram::Histogram;
use proptest::prelude::*;

#[test]
fn small_whole_numbers_show_as_themselves() {
    for value in 0..2048 {
        let value = f64::from(value);
        assert_eq!(Bucket::of(value).value(), value);
        assert_eq!(Bucket::of(-value).value(), -value);
    }
}

#[test]
fn the_ends_of_the_range_are_clamped() {
    assert_eq!(Bucket::of(9.9e-7), Bucket(0));
    assert!(Bucket::of(1e-6) > Bucket(0));
    assert_eq!(Bucket::of(1e300), Bucket::of(1e12));
    assert!(Bucket::of(1e12).0 <= BUCKETS && Bucket::of(-1e12).0 >= -BUCKETS);
    assert!(Bucket::clamps(-1.1e12) && !Bucket::clamps(1e12));
}

#[test]
fn ranks_are_nearest_ranks() {
    for (count, q, expected) in [
        (1000, 99.9, 999),
        (100, 99.0, 99),
        (3, 50.0, 2),
        (1, 1.0, 1),
        (10, 100.0, 10),
        (4, 25.0, 1),
    ] {
        assert_eq!(rank(count, q), expected, "{q} of {count}");
    }
}

#[test]
fn buckets_are_those_of_hdr() {
    let histogram: Histogram<u64> = Histogram::new_with_bounds(1, 1 << 51, 3).expect("bounds");
    for value in [1.0, 1.0009, 1.001, 1000.3, 1580.7, 123_456.789, 9.99e11] {
        let recorded = (value * SCALES[0]) as u64;
        let lowest = histogram.lowest_equivalent(recorded) as f64 / SCALES[0];
        assert_eq!(Bucket::of(value).value(), lowest, "{value}");
    }
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![-2000.0..2000.0, -1e-4..1e-4, 1e-8..1.0, Just(0.0), -1e14..1e14]
}

proptest! {
    #[test]
    fn a_bucket_is_off_by_less_than_a_thousandth(a in any_value(), b in any_value()) {
        let shown = Bucket::of(a).value();
        if (MAGNITUDE_MIN..=MAGNITUDE_MAX).contains(&a.abs()) {
            prop_assert!(shown.abs() <= a.abs() && (a - shown).abs() <= a.abs() / 1024.0);
        }
        prop_assert_eq!(Bucket::of(shown), Bucket::of(a));
        prop_assert!(a > b || Bucket::of(a) <= Bucket::of(b));
    }

    #[test]
    fn every_level_says_what_sorting_says(
        steps in proptest::collection::vec((any_value(), 0..5_usize, any::<bool>()), 1..200),
        times in 1..12_usize, q in 0.1..100.0_f64, threshold in any_value(),
    ) {
        let (mut histogram, mut all) = (Histo::default(), Vec::new());
        for (value, slot, drop) in steps {
            if drop && slot == 4 {
                let count = all.iter().filter(|(at, _)| *at == 0).count();
                histogram.drop_pane(0, count as u64);
                all.retain(|(at, _)| *at != 0);
            }
            for _ in 0..times {
                histogram.add(value, slot, 5);
                all.push((slot, Bucket::of(value)));
                // It is asked all the time, so that what it follows is tried.
                let mut sorted: Vec<_> = all.iter().map(|(_, bucket)| *bucket).collect();
                sorted.sort_unstable();
                let expected = sorted[rank(sorted.len() as u64, q) as usize - 1].value();
                prop_assert_eq!(histogram.follow(q), Some(expected));
            }
        }
        let mut bytes = Vec::new();
        histogram.save(&mut bytes);
        let loaded = Histo::load(&mut Cursor::new(&bytes), 5).expect("just saved");
        let mut sorted: Vec<_> = all.iter().map(|(_, bucket)| *bucket).collect();
        sorted.sort_unstable();
        for mut histogram in [histogram, loaded] {
            prop_assert_eq!(histogram.len(), sorted.len() as u64);
            let expected = sorted[rank(sorted.len() as u64, q) as usize - 1].value();
            prop_assert_eq!(histogram.percentile(q), Some(expected));
            prop_assert_eq!(histogram.follow(q), Some(expected));
            let edge = Bucket::of(threshold);
            let above = sorted.iter().filter(|bucket| **bucket > edge).count() as u64;
            let below = sorted.iter().filter(|bucket| **bucket < edge).count() as u64;
            prop_assert_eq!((histogram.above(threshold), histogram.below(threshold)), (above, below));
        }
    }

    #[test]
    fn the_wire_is_what_hdr_writes(values in proptest::collection::vec((any_value(), 1..400_u32), 1..80)) {
        use hdrhistogram::serialization::{Serializer, V2Serializer};
        let mut counts = Counts::default();
        let mut hdr: [Option<Histogram<u64>>; 4] = [const { None }; 4];
        for (value, count) in values {
            (0..count).for_each(|_| counts.add(Bucket::of(value)));
            let size = Bucket::of(value).value().abs();
            if size > 0.0 {
                let part = usize::from(size < 1.0) + 2 * usize::from(value < 0.0);
                let bounds = || Histogram::new_with_bounds(1, 1 << 51, 3).expect("bounds");
                hdr[part].get_or_insert_with(bounds)
                    .record_n((size * SCALES[part & 1]) as u64, u64::from(count)).expect("in bounds");
            }
        }
        let mut bytes = Vec::new();
        counts.save(&mut bytes);
        let mut cursor = Cursor::new(&bytes);
        cursor.unsigned().expect("zeros");
        let parts = cursor.byte().expect("parts");
        for (at, hdr) in hdr.iter().enumerate() {
            prop_assert_eq!(parts >> at & 1 == 1, hdr.is_some());
            if let Some(hdr) = hdr {
                let mut expected = Vec::new();
                V2Serializer::new().serialize(hdr, &mut expected).expect("serialises");
                prop_assert_eq!(cursor.bytes().expect("a part"), &expected[..]);
            }
        }
        prop_assert!(cursor.is_empty());
    }

    #[test]
    fn the_wire_keeps_every_bucket(values in proptest::collection::vec(any_value(), 0..600)) {
        let mut counts = Counts::default();
        values.iter().for_each(|value| counts.add(Bucket::of(*value)));
        let mut bytes = Vec::new();
        counts.save(&mut bytes);
        prop_assert_eq!(Counts::load(&mut Cursor::new(&bytes)).expect("just saved"), counts);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in any::<bool>()) {
        let _ = Histo::load(&mut Cursor::new(&bytes), 5);
        // A sound frame of a histogram, with anything as its counts.
        let mut framed = vec![0, 1];
        varint_frame(&mut framed, &bytes);
        if cut { framed.pop(); }
        let _ = Counts::load(&mut Cursor::new(&framed));
        let _ = Counts::load(&mut Cursor::new(&bytes));
    }
}

fn varint_frame(out: &mut Vec<u8>, counts: &[u8]) {
    let mut sound = Vec::new();
    let mut one = Counts::default();
    one.add(Bucket::of(2.0));
    one.save(&mut sound);
    let mut cursor = Cursor::new(&sound[2..]);
    let mut part = cursor.bytes().expect("a part")[..40].to_vec();
    part[4..8].copy_from_slice(&(counts.len() as u32).to_be_bytes());
    part.extend_from_slice(counts);
    crate::batch::varint::put_bytes(out, &part);
}
