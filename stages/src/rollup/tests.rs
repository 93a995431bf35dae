//! Panes against counting anew, packs against damage.

use super::*;
use crate::batch::Kind;
use crate::exact::Sum;
use crate::histogram::Counts;
use std::collections::{BTreeMap, BTreeSet};

fn millis(millis: i64) -> Time {
    Time::from_millis(millis)
}

fn packs(rollups: &mut Rollups, now: Time) -> Vec<RollupPack> {
    let packs = rollups.take(now);
    packs.iter().map(|(_, bytes)| RollupPack::decode(bytes).expect("just written")).collect()
}

fn named() -> Rollups {
    let mut rollups = Rollups::new();
    rollups.name(1, "a_ms\u{1f}x\u{1e}y", Kind::Gauge);
    rollups.name(2, "b", Kind::Counter);
    rollups
}

#[test]
fn closed_panes_are_emitted_once() {
    let mut rollups = named();
    for (series, time, value) in [(1, 1000, 5.0), (1, 1900, 7.0), (2, 1500, 1.0), (1, 2100, 9.0)] {
        rollups.add(series, millis(time), value);
    }
    let first = packs(&mut rollups, millis(2100));
    assert_eq!((first.len(), first[0].tier, first[0].rows.len()), (1, Tier::Second, 2));
    let row = &first[0].rows[0];
    assert_eq!((row.key.as_str(), row.kind), ("a_ms\u{1f}x\u{1e}y", Kind::Gauge));
    let pane = &row.panes[0];
    assert_eq!(
        (pane.start, pane.count, pane.sum, pane.min, pane.max),
        (millis(1000), 2, 12.0, 5.0, 7.0)
    );
    assert!(packs(&mut rollups, millis(2200)).is_empty());
    let later = packs(&mut rollups, millis(60_000));
    let tiers: Vec<_> = later.iter().map(|pack| pack.tier).collect();
    assert_eq!(tiers, Tier::ALL);
    assert_eq!(later[2].rows[0].panes[0].count, 3);
}

#[test]
fn a_late_sample_emits_its_pane_again_whole() {
    let mut rollups = named();
    rollups.add(2, millis(1000), 1.0);
    packs(&mut rollups, millis(3000));
    rollups.add(2, millis(1500), 4.0);
    let again = packs(&mut rollups, millis(3000));
    assert_eq!(again[0].rows.len(), 1);
    assert_eq!((again[0].rows[0].panes[0].count, again[0].rows[0].panes[0].sum), (2, 5.0));
    assert!(packs(&mut rollups, millis(3000)).is_empty());
}

#[test]
fn wanted_metrics_carry_histograms() {
    let mut rollups = named();
    rollups.want_histograms(BTreeSet::from(["a_ms".to_owned()]));
    (0..100).for_each(|n| rollups.add(1, millis(1000 + n), n as f64));
    rollups.add(2, millis(1000), 1.0);
    let mut pack = packs(&mut rollups, millis(2000)).remove(0);
    let histogram = pack.rows[0].panes[0].histogram.as_mut().expect("wanted");
    assert_eq!(histogram.percentile(99.0), Some(98.0));
    assert_eq!(pack.rows[1].panes[0].histogram, None);
}

#[test]
fn many_series_make_several_packs() {
    let mut rollups = Rollups::new();
    for series in 0..30_000 {
        rollups.name(series, &format!("metric_{series:06}"), Kind::Gauge);
        rollups.add(series, millis(1000), 1.5);
    }
    let packs = packs(&mut rollups, millis(2000));
    assert!(packs.len() > 1);
    assert_eq!(packs.iter().map(|pack| pack.rows.len()).sum::<usize>(), 30_000);
}

#[test]
fn a_broken_pack_is_refused() {
    let mut rollups = named();
    rollups.want_histograms(BTreeSet::from(["b".to_owned()]));
    rollups.add(2, millis(1000), 1.0);
    let (_, bytes) = rollups.take(millis(2000)).remove(0);
    for end in 0..bytes.len() {
        assert!(RollupPack::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
    for at in 0..bytes.len() {
        let mut bad = bytes.to_vec();
        bad[at] ^= 0x55;
        let _ = RollupPack::decode(&bad);
    }
}

#[test]
fn coarser_tiers_hold_what_the_finer_ones_do() {
    let mut rollups = named();
    rollups.want_histograms(BTreeSet::from(["b".to_owned()]));
    let mut all: BTreeMap<(Tier, String, Time), RollupPane> = BTreeMap::new();
    let mut samples = Vec::new();
    for tenth in 0..3000_i64 {
        let now = millis(tenth * 100);
        // Most come at once, some 7 s late, some 3 s early, and one of them 50 s late.
        let late = [0, 0, 0, 7000, 0, -3000, if tenth == 1000 { 50_000 } else { 0 }];
        let time = millis((tenth * 100 - late[tenth as usize % 7]).max(0));
        let (series, value) = (1 + (tenth % 2) as u32, (tenth * 31 % 97) as f64 * 0.1);
        rollups.add(series, time, value);
        // Too late for its second, not for what is coarser.
        samples.push((series, time, value, tenth == 1000));
        for pack in packs(&mut rollups, now) {
            for row in pack.rows {
                for pane in row.panes {
                    all.insert((pack.tier, row.key.clone(), pane.start), pane);
                }
            }
        }
    }
    let names = ["", "a_ms\u{1f}x\u{1e}y", "b"];
    for ((tier, key, start), pane) in &mut all {
        let of_pane = |sample: &&(u32, Time, f64, bool)| {
            names[sample.0 as usize] == key
                && sample.1.floor(tier.width()) == *start
                && !(sample.3 && *tier == Tier::Second)
        };
        let found: Vec<f64> = samples.iter().filter(of_pane).map(|sample| sample.2).collect();
        // Panes at the end may have got samples that were never emitted.
        if *start > millis(230_000) {
            continue;
        }
        let mut sum = Sum::default();
        found.iter().for_each(|value| sum.add(*value));
        assert_eq!((pane.count, pane.sum), (found.len() as u64, sum.value()), "{tier:?} {start}");
        assert_eq!(Some(pane.max), found.iter().copied().reduce(f64::max));
        assert_eq!(Some(pane.min), found.iter().copied().reduce(f64::min));
        let counted = pane.histogram.as_ref().map(Counts::len);
        assert_eq!(counted, (key == "b").then_some(pane.count), "{tier:?} {start}");
    }
    assert!(all.len() > 2 * 230);
}

#[test]
fn a_series_without_a_name_does_not_count() {
    let mut rollups = named();
    rollups.add(9, millis(1000), 1.0);
    rollups.add(1, millis(1000), 1.0);
    rollups.add(2, millis(1000), 1.0);
    rollups.forget(1);
    let packs = packs(&mut rollups, millis(2000));
    assert_eq!(packs[0].rows.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["b"]);
    // The place is used again.
    rollups.name(1, "c", Kind::Gauge);
    rollups.add(1, millis(2000), 2.0);
    assert_eq!(rollups.take(millis(3000)).len(), 1);
}

proptest::proptest! {
    #[test]
    fn random_bytes_never_panic(tail in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([VERSION, 0]);
        bytes.extend(&tail);
        let _ = RollupPack::decode(&bytes);
        let _ = RollupPack::decode(&tail);
    }
}
