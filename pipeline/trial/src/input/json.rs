//! JSON: samples a line as the collector takes them, or the answer to a range query of Prometheus.

use super::{Flaw, Samples};
use serde::Deserialize;
use stages::batch::Kind;
use stages::decode::each_sample;
use stages::decode::time_of;
use stages::series::{Labels, check_labels, check_name, series_key};
use std::borrow::Cow;

pub(super) fn lines(text: &str, samples: &mut Samples) -> Result<(), Flaw> {
    let mut key = String::new();
    let mut flaw = None;
    for (line, number) in text.lines().zip(1..) {
        each_sample(line.as_bytes(), &mut key, &mut |sample| {
            let added = match sample {
                Err(refusal) => {
                    let message = format!("sample refused: {}", refusal.message);
                    Err(Flaw::at(
                        number,
                        1,
                        message,
                        "write it like {\"name\": \"a_ms\", \"ts\": 1700000000, \"val\": 1}",
                    ))
                }
                Ok(sample) => match sample.time {
                    None => Err(Flaw::at(
                        number,
                        1,
                        "a sample without ts",
                        "write ts, a number of Unix time",
                    )),
                    Some(time) => {
                        let series = samples.number(sample.key, sample.kind);
                        samples.add(time, series, sample.value)
                    }
                },
            };
            if flaw.is_none() {
                flaw = added.err();
            }
        });
        if let Some(flaw) = flaw {
            return Err(flaw);
        }
    }
    Ok(())
}

/// Whether it is the answer to a query.
pub(super) fn is_query(text: &str) -> bool {
    let head = text.trim_start();
    let mut end = head.len().min(400);
    while !head.is_char_boundary(end) {
        end -= 1;
    }
    head.starts_with('{') && head[..end].contains("\"resultType\"")
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    result_type: String,
    #[serde(borrow)]
    result: Vec<Row<'a>>,
}

#[derive(Deserialize)]
struct Row<'a> {
    metric: Labels,
    #[serde(borrow, default)]
    values: Vec<(serde_json::Number, Cow<'a, str>)>,
}

const MATRIX: &str = "ask /api/v1/query_range for a plain metric, like query=county_api_ms";

pub(super) fn query(text: &str, samples: &mut Samples) -> Result<(), Flaw> {
    let answer: Answer<'_> = serde_json::from_str(text)
        .map_err(|error| Flaw::at(error.line(), error.column(), error.to_string(), MATRIX))?;
    if answer.data.result_type != "matrix" {
        let message = format!("a result of type {}", answer.data.result_type);
        return Err(Flaw { place: None, message, remedy: MATRIX });
    }
    for row in answer.data.result {
        let mut labels = row.metric;
        let name = labels.remove("__name__").unwrap_or_default();
        let checked = check_name(&name).and_then(|()| check_labels(&labels));
        if let Err(error) = checked {
            return Err(Flaw {
                place: None,
                message: format!("series {name:?}: {error}"),
                remedy: MATRIX,
            });
        }
        let series = samples.number(&series_key(&name, &labels), Kind::Gauge);
        for (time, value) in row.values {
            let at = time_of(&time.to_string());
            let (Some(at), Ok(value)) = (at, value.parse::<f64>()) else {
                let message = format!("series {name}: sample [{time}, {value:?}]");
                return Err(Flaw { place: None, message, remedy: MATRIX });
            };
            // NaN and infinities are Prometheus's ways to say that there is no number.
            if value.is_finite() {
                samples.add(at, series, value)?;
            }
        }
    }
    Ok(())
}
