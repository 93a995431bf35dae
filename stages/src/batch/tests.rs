//! Round trips, corruption, and what a batch costs.

use super::*;
use crate::time::Time;
use proptest::prelude::*;

/// Key, kind, time, value, id.
type Row = (String, Kind, Option<Time>, f64, Option<String>);

fn read(bytes: &[u8]) -> Result<Vec<Row>, BatchError> {
    let mut all = Vec::new();
    for section in Batch::parse(bytes)?.sections() {
        let mut cache = TableCache::default();
        let rows = cache.ids(section.table, |row| (row.key.to_owned(), row.kind))?;
        for (block, (key, kind)) in section.blocks().zip(rows.iter()) {
            block.for_each(|time, value, id| {
                all.push((key.clone(), *kind, time, value, id.map(str::to_owned)));
            })?;
        }
    }
    Ok(all)
}

fn gauge(key: &str, time: Option<i64>, value: f64) -> Sample<'_> {
    Sample { key, kind: Kind::Gauge, time: time.map(Time), value, id: None }
}

#[test]
fn steady_samples_take_few_bytes() {
    let mut builder = BatchBuilder::new();
    for n in 0..1000_i64 {
        let time = Some(1_700_000_000_000_000_000 + n * 1_000_000_000);
        builder.push(&gauge("county_api_ms", time, 112.0));
    }
    let bytes = builder.finish();
    assert!(bytes.len() < 4_200, "{} bytes", bytes.len());
    assert_eq!(read(&bytes).expect("sound").len(), 1000);
}

#[test]
fn sections_keep_their_client_and_number() {
    let mut builder = BatchBuilder::new();
    builder.section("a", 7);
    builder.push(&gauge("m", None, 1.0));
    builder.section("b", 9);
    builder.push(&gauge("m", None, 2.0));
    let bytes = builder.finish();
    let batch = Batch::parse(&bytes).expect("sound");
    let sections: Vec<_> = batch.sections().map(|s| (s.client, s.number, s.series())).collect();
    assert_eq!(sections, [("a", 7, 1), ("b", 9, 1)]);
}

#[test]
fn a_known_table_is_not_interned_again() {
    let table = |value: f64| {
        let mut builder = BatchBuilder::new();
        builder.push(&gauge("m\u{1f}l\u{1e}v", None, value));
        builder.push(&gauge("n", None, value));
        builder.finish()
    };
    let (mut cache, mut interned) = (TableCache::default(), 0);
    for value in [1.0, 2.5, 1e300] {
        let bytes = table(value);
        let batch = Batch::parse(&bytes).expect("sound");
        let section = batch.sections().next().expect("one");
        let ids = cache.ids(section.table, |_| {
            interned += 1;
            interned
        });
        assert_eq!(&*ids.expect("sound"), [1, 2]);
    }
    assert_eq!(interned, 2);
}

#[test]
fn what_is_no_batch_is_refused_by_kind() {
    let mut builder = BatchBuilder::new();
    builder.push(&gauge("m", None, 1.0));
    let sound = builder.finish();
    assert_eq!(Batch::parse(b"").unwrap_err(), BatchError::Magic);
    assert_eq!(Batch::parse(b"{\"name\":1}").unwrap_err(), BatchError::Magic);
    let mut newer = sound.clone();
    newer[4] = 2;
    assert_eq!(Batch::parse(&newer).unwrap_err(), BatchError::Version(2));
    let mut longer = sound.clone();
    longer.push(0);
    assert_eq!(Batch::parse(&longer).unwrap_err().reason(), "batch_corrupt");
    for end in 5..sound.len() {
        assert!(Batch::parse(&sound[..end]).is_err(), "cut at {end}");
    }
    assert!(!BatchBuilder::new().push(&gauge("m", None, f64::NAN)));
}

fn any_sample() -> impl Strategy<Value = (String, bool, Option<i64>, f64, Option<String>)> {
    let value = prop_oneof![
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
        (-1_000_000_i64..1_000_000).prop_map(|n| n as f64 / 1000.0),
        Just(-0.0),
    ];
    let time = prop_oneof![
        Just(None),
        any::<i64>().prop_map(Some),
        (0..10_i64).prop_map(|n| Some(1_700_000_000_000_000_000 + n * 1_000_000)),
    ];
    let key = "[a-c]{1,3}(\u{1f}x\u{1e}[aü]{0,3})?";
    (key, any::<bool>(), time, value, proptest::option::of("[a-f0-9]{1,16}"))
}

proptest! {
    #[test]
    fn a_batch_reads_back_bit_for_bit(samples in proptest::collection::vec(any_sample(), 0..60)) {
        let mut builder = BatchBuilder::new();
        let mut expected = Vec::new();
        for (key, counter, time, value, id) in &samples {
            let kind = if *counter { Kind::Counter } else { Kind::Gauge };
            let time = time.map(Time);
            let sample = Sample { key, kind, time, value: *value, id: id.as_deref() };
            prop_assert!(builder.push(&sample));
            expected.push((key.clone(), kind, time, value.to_bits(), id.clone()));
        }
        let bytes_max = builder.bytes_max();
        let bytes = builder.finish();
        prop_assert!(bytes.len() <= bytes_max, "{} > {bytes_max}", bytes.len());
        let mut found: Vec<_> = read(&bytes).expect("sound").into_iter()
            .map(|(key, kind, time, value, id)| (key, kind, time, value.to_bits(), id)).collect();
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn corrupt_bytes_never_panic(mut samples in proptest::collection::vec(any_sample(), 1..10),
                                 at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut builder = BatchBuilder::new();
        for (key, _, time, value, id) in samples.drain(..) {
            builder.push(&Sample { key: &key, kind: Kind::Gauge, time: time.map(Time), value, id: id.as_deref() });
        }
        let mut bytes = builder.finish();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read(&bytes);
    }
}
