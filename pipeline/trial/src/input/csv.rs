//! CSV with a head: `ts,name,val` and labels in further columns.

use super::{Flaw, Samples};
use rustc_hash::FxHashMap;
use stages::batch::Kind;
use stages::decode::time_of;
use stages::series::{Labels, check_labels, check_name, series_key};
use stages::time::Time;

const TIMES: [&str; 3] = ["ts", "time", "timestamp"];
const NAMES: [&str; 2] = ["name", "metric"];
const VALUES: [&str; 2] = ["val", "value"];
const HEAD: &str = "begin the file with a line like ts,name,val,service";

/// Whether a line is a head.
pub(super) fn is_head(line: &str) -> bool {
    let columns: Vec<&str> = line.split(',').map(|name| name.trim().trim_matches('"')).collect();
    let has = |names: &[&str]| names.iter().any(|name| columns.contains(name));
    has(&TIMES) && has(&VALUES)
}

/// What the columns are.
struct Columns {
    time: usize,
    name: usize,
    value: usize,
    kind: Option<usize>,
    labels: Vec<(usize, String)>,
}

impl Columns {
    fn of(head: &csv::StringRecord) -> Result<Self, Flaw> {
        let find = |names: &[&str]| head.iter().position(|name| names.contains(&name));
        let (Some(time), Some(name), Some(value)) = (find(&TIMES), find(&NAMES), find(&VALUES))
        else {
            return Err(Flaw::at(1, 1, "a column for time, name or value is missing", HEAD));
        };
        let kind = find(&["kind"]);
        let taken = [Some(time), Some(name), Some(value), kind];
        let labels = head.iter().enumerate().filter(|(at, _)| !taken.contains(&Some(*at)));
        let labels = labels.map(|(at, label)| (at, label.to_owned())).collect();
        Ok(Self { time, name, value, kind, labels })
    }
}

pub(super) fn read(text: &str, samples: &mut Samples) -> Result<(), Flaw> {
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let columns = Columns::of(reader.headers().map_err(|error| flaw(&error))?)?;
    let mut record = csv::StringRecord::new();
    // Series by what names them in a line, as it stands there: each is taken apart once.
    let (mut known, mut named) = (FxHashMap::<Box<[u8]>, u32>::default(), Vec::new());
    while reader.read_record(&mut record).map_err(|error| flaw(&error))? {
        let line = record.position().map_or(0, csv::Position::line) as usize;
        let cell = |at: usize| record.get(at).unwrap_or_default();
        let time = moment(cell(columns.time)).ok_or_else(|| {
            let message = format!("{:?} is no time", cell(columns.time));
            Flaw::at(
                line,
                columns.time + 1,
                message,
                "write Unix time, or RFC 3339 like 2026-11-20T16:00:00Z",
            )
        })?;
        let value = cell(columns.value).parse::<f64>().ok().filter(|value| value.is_finite());
        let value = value.ok_or_else(|| {
            let message = format!("{:?} is no finite number", cell(columns.value));
            Flaw::at(line, columns.value + 1, message, "write a number, or leave out the line")
        })?;
        named.clear();
        for (at, cell) in record.iter().enumerate() {
            if at != columns.time && at != columns.value {
                // A quoted cell may hold any byte; with its length before it, no two look like others.
                named.extend_from_slice(&(cell.len() as u32).to_le_bytes());
                named.extend_from_slice(cell.as_bytes());
            }
        }
        let series = match known.get(named.as_slice()) {
            Some(series) => *series,
            None => {
                let series = identity(&columns, &record, line, samples)?;
                known.insert(named.as_slice().into(), series);
                series
            }
        };
        samples.add(time, series, value)?;
    }
    Ok(())
}

fn identity(
    columns: &Columns,
    record: &csv::StringRecord,
    line: usize,
    samples: &mut Samples,
) -> Result<u32, Flaw> {
    let cell = |at: usize| record.get(at).unwrap_or_default();
    let kind = match columns.kind.map(cell) {
        None | Some("" | "gauge") => Kind::Gauge,
        Some("counter") => Kind::Counter,
        Some(other) => {
            let column = columns.kind.unwrap_or_default() + 1;
            return Err(Flaw::at(
                line,
                column,
                format!("kind {other:?}"),
                "write gauge or counter",
            ));
        }
    };
    let labels = columns.labels.iter().filter(|(at, _)| !cell(*at).is_empty());
    let labels: Labels = labels.map(|(at, name)| (name.clone(), cell(*at).to_owned())).collect();
    let name = cell(columns.name);
    check_name(name)
        .and_then(|()| check_labels(&labels))
        .map_err(|error| Flaw::at(line, columns.name + 1, error.to_string(), HEAD))?;
    Ok(samples.number(&series_key(name, &labels), kind))
}

/// Unix time, or RFC 3339.
fn moment(text: &str) -> Option<Time> {
    time_of(text)
        .or_else(|| serde_json::from_value(serde_json::Value::String(text.to_owned())).ok())
}

/// The place of a fault in the form of the file.
fn flaw(error: &csv::Error) -> Flaw {
    let line = error.position().map_or(1, csv::Position::line) as usize;
    Flaw::at(line, 1, error.to_string(), "give every line as many columns as the first")
}
