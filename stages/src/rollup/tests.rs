//! Panes against counting anew, packs against damage.

use super::*;
use crate::histogram::Counts;
use proptest::prelude::*;

fn millis(millis: i64) -> Time {
    Time::from_millis(millis)
}

impl Rollups {
    fn sample(&mut self, series: u32, time: Time, value: f64) {
        self.add(series, &Run::of(time, value, Tier::Second.width()), &[(time, value)]);
    }

    fn fine(&mut self, metric: &str) {
        self.detail([(metric.to_owned(), Detail::Fine)]);
    }
}

fn packs(rollups: &mut Rollups, now: Time) -> Vec<RollupPack> {
    let packs = rollups.take(now, now.as_millis() as u64);
    packs.iter().map(|(_, bytes)| RollupPack::decode(bytes).expect("just written")).collect()
}

fn named() -> Rollups {
    let mut rollups = Rollups::new();
    rollups.name(1, "a_ms\u{1f}x\u{1e}y".into(), Kind::Gauge);
    rollups.name(2, "b".into(), Kind::Counter);
    rollups
}

#[test]
fn closed_panes_are_emitted_once() {
    let mut rollups = named();
    for (series, time, value) in [(1, 1000, 5.0), (1, 1900, 7.0), (2, 1500, 1.0), (1, 2100, 9.0)] {
        rollups.sample(series, millis(time), value);
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
fn a_late_sample_is_emitted_as_a_further_part() {
    let mut rollups = named();
    rollups.sample(2, millis(1000), 1.0);
    let first = packs(&mut rollups, millis(3000));
    rollups.sample(2, millis(1500), 4.0);
    assert!(packs(&mut rollups, millis(3900)).is_empty(), "not before the next second");
    let again = packs(&mut rollups, millis(4000));
    let part = |packs: &[RollupPack]| {
        let pane = packs[0].rows[0].panes[0].clone();
        (packs[0].position, pane.start, pane.count, pane.sum)
    };
    assert_eq!(part(&first), (3000, millis(1000), 1, 1.0));
    assert_eq!(part(&again), (4000, millis(1000), 1, 4.0));
    let later = packs(&mut rollups, millis(10_000));
    assert_eq!((later.len(), later[0].rows[0].panes[0].count), (1, 2), "the ten seconds have both");
}

#[test]
fn wanted_metrics_carry_histograms() {
    let mut rollups = named();
    rollups.fine("a_ms");
    (0..100).for_each(|n| rollups.sample(1, millis(1000 + n), n as f64));
    (0..3).for_each(|n| rollups.sample(2, millis(1000), f64::from(n)));
    let mut pack = packs(&mut rollups, millis(2000)).remove(0);
    let histogram = pack.rows[0].panes[0].histogram.as_mut().expect("wanted");
    assert_eq!(histogram.percentile(99.0), Some(98.0));
    assert_eq!(pack.rows[1].panes[0].histogram, None);
}

#[test]
fn one_or_two_samples_are_their_own_histogram() {
    let mut rollups = named();
    rollups.sample(1, millis(1000), 5.0);
    rollups.sample(2, millis(1000), 7.0);
    rollups.sample(2, millis(1000), -3.0);
    let mut pack = packs(&mut rollups, millis(2000)).remove(0);
    let mut percentiles = |row: usize| {
        let histogram = pack.rows[row].panes[0].histogram.as_mut().expect("implied");
        (histogram.len(), histogram.percentile(50.0), histogram.percentile(99.0))
    };
    assert_eq!(percentiles(0), (1, Some(5.0), Some(5.0)));
    assert_eq!(percentiles(1), (2, Some(-3.0), Some(7.0)));
}

#[test]
fn a_percentile_rule_shows_from_ten_seconds_up() {
    let mut rollups = named();
    rollups.detail([("b".to_owned(), Detail::Coarse)]);
    (0..9).for_each(|n| rollups.sample(2, millis(1000 + n % 3), n as f64));
    let all = packs(&mut rollups, millis(60_000));
    let shown = |pack: &RollupPack| pack.rows[0].panes[0].histogram.as_ref().map(Counts::len);
    assert_eq!(all.iter().map(shown).collect::<Vec<_>>(), [None, Some(9), Some(9)]);
}

#[test]
fn many_series_make_several_packs() {
    let mut rollups = Rollups::new();
    for series in 0..60_000 {
        rollups.name(series, format!("metric_{series:06}").into(), Kind::Gauge);
        rollups.sample(series, millis(1000), 1.5);
    }
    let packs = packs(&mut rollups, millis(2000));
    assert!(packs.len() > 1);
    assert_eq!(packs.iter().map(|pack| pack.rows.len()).sum::<usize>(), 60_000);
}

#[test]
fn a_broken_pack_is_refused() {
    let mut rollups = named();
    rollups.fine("b");
    (0..5).for_each(|n| rollups.sample(2, millis(1000), f64::from(n)));
    let (_, bytes) = rollups.take(millis(2000), 77).remove(0);
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
fn every_tier_holds_every_sample() {
    let mut rollups = named();
    rollups.fine("b");
    let mut all: BTreeMap<(Tier, String, Time), Vec<RollupPane>> = BTreeMap::new();
    let mut samples = Vec::new();
    for tenth in 0..3000_i64 {
        let now = millis(tenth * 100);
        // Most come at once, some 7 s late, some 3 s early, and one of them 50 s late.
        let late = [0, 0, 0, 7000, 0, -3000, if tenth == 1000 { 50_000 } else { 0 }];
        let time = millis((tenth * 100 - late[tenth as usize % 7]).max(0));
        let (series, value) = (1 + (tenth % 2) as u32, (tenth * 31 % 97) as f64 * 0.25);
        rollups.sample(series, time, value);
        // Too late for its second, not for what is coarser.
        samples.push((series, time, value, tenth == 1000));
        for pack in packs(&mut rollups, now) {
            for row in pack.rows {
                for pane in row.panes {
                    all.entry((pack.tier, row.key.clone(), pane.start)).or_default().push(pane);
                }
            }
        }
    }
    let names = ["", "a_ms\u{1f}x\u{1e}y", "b"];
    for ((tier, key, start), parts) in &mut all {
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
        let count: u64 = parts.iter().map(|part| part.count).sum();
        let sum: f64 = parts.iter().map(|part| part.sum).sum();
        assert_eq!((count, sum), (found.len() as u64, found.iter().sum()), "{tier:?} {start}");
        let max = parts.iter().map(|part| part.max).reduce(f64::max);
        assert_eq!(max, found.iter().copied().reduce(f64::max));
        let min = parts.iter().map(|part| part.min).reduce(f64::min);
        assert_eq!(min, found.iter().copied().reduce(f64::min));
        let counted: Option<u64> =
            parts.iter().map(|part| part.histogram.as_ref().map(Counts::len)).sum();
        let whole = key == "b" || parts.iter().all(|part| part.count <= 2);
        assert_eq!(counted, whole.then_some(count), "{tier:?} {key} {start}");
    }
    assert!(all.len() > 2 * 230);
}

#[test]
fn a_series_without_a_name_does_not_count() {
    let mut rollups = named();
    rollups.sample(9, millis(1000), 1.0);
    rollups.sample(1, millis(1000), 1.0);
    rollups.sample(2, millis(1000), 1.0);
    rollups.forget(1);
    let emitted = packs(&mut rollups, millis(2000));
    let keys: Vec<&str> = emitted[0].rows.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(keys, ["b"]);
    // The place is used again.
    rollups.name(1, "c".into(), Kind::Gauge);
    rollups.sample(1, millis(2000), 2.0);
    assert_eq!(packs(&mut rollups, millis(3000)).len(), 1);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([VERSION, 0]);
        bytes.extend(&tail);
        let _ = RollupPack::decode(&bytes);
        let _ = RollupPack::decode(&tail);
    }
}
