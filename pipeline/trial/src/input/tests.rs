use super::*;
use stages::batch::{Batch, Table};

fn parse(text: &str) -> Vec<(i64, String, f64)> {
    let samples = Samples::parse(text.as_bytes())
        .unwrap_or_else(|flaw| panic!("{:?} {}", flaw.place, flaw.message));
    let key = |number: u32| {
        samples.series[number as usize].0.replace('\u{1f}', " ").replace('\u{1e}', "=")
    };
    samples
        .all
        .iter()
        .map(|(time, series, value)| (time.as_millis(), key(*series), *value))
        .collect()
}

fn flaw(text: &str) -> (Option<(usize, usize)>, String) {
    let flaw = Samples::parse(text.as_bytes()).expect_err("it is bad");
    (flaw.place, flaw.message)
}

#[test]
fn all_forms_say_the_same() {
    let expected = [
        (1_700_000_000_000, "a_ms s=x".to_owned(), 1.0),
        (1_700_000_001_500, "a_ms s=x".to_owned(), 2.5),
    ];
    let lines = "{\"name\": \"a_ms\", \"ts\": 1700000000, \"val\": 1, \"labels\": {\"s\": \"x\"}}\n\n\
                 {\"name\": \"a_ms\", \"ts\": 1700000001.5, \"val\": 2.5, \"labels\": {\"s\": \"x\"}}\n";
    assert_eq!(parse(lines), expected);
    let csv = "ts,name,val,s,t\n1700000000,a_ms,1,x,\n2023-11-14T22:13:21.5Z,a_ms,2.5,\"x\",\n";
    assert_eq!(parse(csv), expected);
    let query = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"a_ms","s":"x"},
        "values":[[1700000000,"1"],[1700000001.5,"2.5"],[1700000002,"NaN"]]}]}}"#;
    assert_eq!(parse(query), expected);
    let text =
        "# TYPE a_ms gauge\na_ms{s=\"x\"} 1 1700000000\na_ms{s=\"x\"} 2.5 1700000001500\n# EOF\n";
    assert_eq!(parse(text), expected);
    let dump = "{__name__=\"a_ms\", s=\"x\"} 1 1700000000000\n{__name__=\"a_ms\", s=\"x\"} 2.5 1700000001500\n";
    assert_eq!(parse(dump), expected);
}

#[test]
fn cells_that_read_alike_together_are_different_series() {
    let text = "ts,name,val,a,b\n1700000000,m,1,x,yz\n1700000001,m,2,xy,z\n1700000002,m,3,x,yz\n";
    let series: Vec<u32> =
        Samples::parse(text.as_bytes()).ok().expect("good").all.iter().map(|one| one.1).collect();
    assert_eq!(series, [0, 1, 0]);
}

#[test]
fn what_is_wrong_with_a_file_has_its_place() {
    assert_eq!(flaw("").1, "no samples");
    assert_eq!(
        flaw("{\"name\": \"a\", \"ts\": 1, \"val\": 1}\n{\"name\": \"a\", \"val\": 1}").0,
        Some((2, 1))
    );
    assert_eq!(flaw("{\"name\": \"a\", \"ts\": 1, \"val\": null}").0, Some((1, 1)));
    assert_eq!(
        flaw("ts,name,val\n1,a,1\n2,a,x\n"),
        (Some((3, 3)), "\"x\" is no finite number".to_owned())
    );
    assert_eq!(flaw("ts,name,val\nnow,a,1\n").0, Some((2, 1)));
    assert_eq!(flaw("ts,name,val\n1,a\n").0, Some((2, 1)));
    assert_eq!(flaw("ts,val\n1,1\n").0, Some((1, 1)));
    assert_eq!(flaw("ts,name,val,kind\n1,a,1,gouge\n").0, Some((2, 4)));
    assert_eq!(flaw("a_ms 1 1700000000\na_ms{ 1 1\n").0, Some((2, 10)));
    assert_eq!(flaw("a_ms 1\n"), (Some((1, 5)), "a sample without a time".to_owned()));
    let vector = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    assert_eq!(flaw(vector).1, "a result of type vector");
    let bytes = Samples::parse(b"ts,name,val\n1,a\xff,1\n").expect_err("it is bad");
    assert_eq!(bytes.place, Some((2, 1)));
}

#[test]
fn samples_of_a_step_are_one_entry_and_keep_their_times() {
    let text = "b 5 1700000000010\na 1 1700000000020\na 2 1700000000030\na 3 1700000000150\n";
    let samples = Samples::parse(text.as_bytes()).ok().expect("good");
    let mut entries = Vec::new();
    samples
        .each(|time, bytes, done| -> Result<(), ()> {
            let batch = Batch::parse(&bytes).unwrap();
            let section = batch.sections().next().unwrap();
            let mut table = Table::new(section.table).unwrap();
            let mut all = Vec::new();
            for block in section.blocks() {
                let key = table.next_row().unwrap().unwrap().key.to_owned();
                block
                    .for_each(|time, value, _| {
                        all.push((key.clone(), time.unwrap().as_millis() % 1000, value))
                    })
                    .unwrap();
            }
            entries.push((time.as_millis() % 1000, all, done));
            Ok(())
        })
        .unwrap();
    let sample = |key: &str, millis, value| (key.to_owned(), millis, value);
    assert_eq!(
        entries,
        [
            (30, vec![sample("a", 20, 1.0), sample("a", 30, 2.0), sample("b", 10, 5.0)], 3),
            (150, vec![sample("a", 150, 3.0)], 4),
        ]
    );
}
