//! JSON Schemas of rule files, for editors that complete and check YAML.
//!
//! The types below are never filled: they are the list of fields once more, with the sentence an editor shows. A test
//! holds their names against those the reader asks for. They let pass what only a reader can judge, for instance that
//! `threshold` may be missing because a `_defaults.yml` has it.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A duration: `3m`, `1h30m`, `0s`.
struct Duration;

/// One text or a list of texts.
struct Texts;

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w))+$" })
    }
}

impl JsonSchema for Texts {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "array", "items": { "type": "string", "minLength": 1 } },
        ] })
    }
}

/// Label matchers: a mapping for equality, or text as Prometheus has it, or a list of texts.
struct Matchers;

/// A word, or several with their bounds.
struct Severities;

impl JsonSchema for Matchers {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Matchers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "object", "additionalProperties": { "type": "string" } },
            { "type": "string", "minLength": 1 },
            { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1 },
        ] })
    }
}

impl JsonSchema for Severities {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Severities".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" },
            { "type": "object", "additionalProperties": { "type": "number" }, "minProperties": 1, "maxProperties": 5 },
        ] })
    }
}

/// What to watch and what to do about it.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by schemars alone")]
struct Rule {
    /// Unique; the stem of the file unless said. A rule of a list needs one.
    #[schemars(length(min = 1, max = 200))]
    name: Option<String>,
    /// The metric it watches, or a ratio of two: errors / requests. Left out with all or any.
    #[schemars(regex(pattern = "^[A-Za-z_:][A-Za-z0-9_:.-]*( */ *[A-Za-z_:][A-Za-z0-9_:.-]*)?$"))]
    metric: Option<String>,
    /// Only series with these labels.
    r#where: Option<Matchers>,
    /// Conditions that must all hold, joined on the labels of group_by.
    #[schemars(length(min = 1, max = 10))]
    all: Option<Vec<Condition>>,
    /// Conditions of which one is enough, joined on the labels of group_by.
    #[schemars(length(min = 1, max = 10))]
    any: Option<Vec<Condition>>,
    /// Compares with the same window earlier, instead of with a threshold.
    baseline: Option<Baseline>,
    /// Page and ticket on how fast the budget of a promise burns; metric is a ratio of bad events to all.
    slo: Option<Slo>,
    /// What the statistic is compared with; with stat above or below, what samples are.
    threshold: Option<f64>,
    /// Length of the window, 1s to 30d.
    window: Option<Duration>,
    /// What is computed over the window: mean (default), min, max, sum, count, rate, last, stddev, p95, above, below.
    #[schemars(extend("anyOf" = [
        { "enum": ["mean", "min", "max", "sum", "count", "rate", "last", "stddev", "p50", "p95", "p99", "above", "below"] },
        { "pattern": "^p[0-9]+([.][0-9]+)?$" },
    ]))]
    stat: Option<String>,
    /// Share of samples, 0 to 1, with stat above or below.
    #[schemars(range(min = 0.0, max = 1.0))]
    share: Option<f64>,
    /// How the value is compared; strictly greater unless said.
    #[schemars(extend("enum" = [">", ">=", "<", "<=", "==", "!="]))]
    compare: Option<String>,
    /// How long a breach must hold before it fires; 0s unless said.
    r#for: Option<Duration>,
    /// Value at or beyond which a firing alert recovers; the threshold unless said.
    recover: Option<f64>,
    /// How long it must stay recovered; 0s unless said.
    keep_firing_for: Option<Duration>,
    /// A breach this soon after resolved reopens the incident.
    reopen_within: Option<Duration>,
    /// Fewer samples than this decide nothing; 1 unless said.
    #[schemars(range(min = 1))]
    min_samples: Option<u64>,
    /// A sample this recent makes an evaluation fresh; a third of the window, at least 10s, unless said.
    fresh_for: Option<Duration>,
    /// How long a gap may pause the wait of `for`; a third of the window unless said.
    gap_tolerance: Option<Duration>,
    /// What an empty window means: keep (default), alert, ok.
    #[schemars(extend("enum" = ["keep", "alert", "ok"]))]
    no_data: Option<String>,
    /// How long a firing alert lives on without data; 5 windows unless said.
    keep_max: Option<Duration>,
    /// Makes absence of samples for this long the condition; threshold and window may be left out then.
    absent: Option<Duration>,
    /// Window in which firings are counted for flapping.
    flap_window: Option<Duration>,
    /// A plain word, critical unless said; or several with their thresholds, mildest first.
    severity: Option<Severities>,
    /// The mildest of several severities that acts; the worst unless said.
    action_severity: Option<String>,
    /// Labels that make one alert each.
    group_by: Option<Texts>,
    /// Unit shown behind values; read off the metric's name unless said.
    unit: Option<String>,
    /// Labels of the alert.
    labels: Option<BTreeMap<String, String>>,
    /// Texts of the alert.
    annotations: Option<BTreeMap<String, String>>,
    /// What to do when it fires: ROLLBACK: and the name of a folder in deploy/plans.
    #[schemars(regex(pattern = "^ROLLBACK:[A-Za-z0-9_-]{1,64}$"))]
    action: Option<String>,
    /// Samples the window must hold before the action; 10 unless said.
    #[schemars(range(min = 1))]
    action_min_samples: Option<u64>,
    /// What must hold before the action.
    guards: Option<Guards>,
    /// Where the fix is described: wiki/NAME for alerts/runbooks/NAME.md, or a web address.
    runbook: Option<String>,
    /// Who is told: receivers, people, mail addresses.
    notify: Option<Texts>,
    /// Remind after this long while it is open; 4h unless said.
    repeat: Option<Duration>,
    /// Calendar of config/calendars.yml in whose hours people are told; at any hour unless said.
    hours: Option<String>,
    /// live (default), or shadow: judged and recorded, nobody is told, nothing runs.
    #[schemars(extend("enum" = ["live", "shadow"]))]
    mode: Option<String>,
}

/// One condition of all or any.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by schemars alone")]
struct Condition {
    /// The metric it watches, or a ratio of two.
    #[schemars(regex(pattern = "^[A-Za-z_:][A-Za-z0-9_:.-]*( */ *[A-Za-z_:][A-Za-z0-9_:.-]*)?$"))]
    metric: String,
    /// Only series with these labels.
    r#where: Option<Matchers>,
    /// What is computed over the window; mean, of a ratio sum, unless said.
    stat: Option<String>,
    /// What the statistic is compared with.
    threshold: Option<f64>,
    /// Share of samples, 0 to 1, with stat above or below.
    #[schemars(range(min = 0.0, max = 1.0))]
    share: Option<f64>,
    /// How the value is compared; strictly greater unless said.
    #[schemars(extend("enum" = [">", ">=", "<", "<=", "==", "!="]))]
    compare: Option<String>,
    /// Value at or beyond which it no longer holds; the threshold unless said.
    recover: Option<f64>,
    /// Length of the window, 1s to 30d.
    window: Duration,
    /// Fewer samples than this decide nothing; 1 unless said.
    #[schemars(range(min = 1))]
    min_samples: Option<u64>,
    /// A sample this recent makes an evaluation fresh.
    fresh_for: Option<Duration>,
    /// Compares with the same window earlier, instead of with a threshold.
    baseline: Option<Baseline>,
}

/// The same window earlier.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by schemars alone")]
struct Baseline {
    /// How much earlier, 1m to 31d.
    offset: Duration,
    /// How the quotient of both is compared: >2.
    #[schemars(regex(pattern = "^(>|>=|<|<=|==|!=) *[0-9]"))]
    ratio: String,
}

/// A promise.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by schemars alone")]
struct Slo {
    /// Percentage of events that are good.
    objective: f64,
    /// Over how long, 7d to 92d.
    window: Duration,
}

/// What must hold before an automatic action.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by schemars alone")]
struct Guards {
    /// A change of the plan's target was seen this recently.
    changed_within: Option<Duration>,
    /// Not while this other rule is firing.
    unless: Option<String>,
    /// A person must approve.
    #[schemars(extend("enum" = ["required"]))]
    approve: Option<String>,
    /// Say what would be done, do nothing.
    dry_run: Option<bool>,
}

/// The schema of a rule file: one rule, or several below `rules:`.
pub fn rule_schema() -> Value {
    let (rule, definitions) = bare();
    let named = json!({ "allOf": [{ "$ref": "#/$defs/Rule" }, { "required": ["name"] }] });
    let list = json!({
        "type": "object",
        "properties": { "schema": version(), "rules": { "type": "array", "items": named } },
        "required": ["rules"],
        "additionalProperties": false,
    });
    let mut one = rule.clone();
    one["properties"]["schema"] = version();
    let mut definitions = definitions;
    definitions["Rule"] = rule;
    // Not `oneOf`: an editor could only say that neither fits.
    let several = json!({ "required": ["rules"] });
    let choice = json!({ "if": several, "then": list, "else": one, "$defs": definitions });
    file("HMS-OPS rule file", choice)
}

/// The schema of a `_defaults.yml`.
pub fn defaults_schema() -> Value {
    let (mut rule, definitions) = bare();
    for own in ["name", "metric"] {
        if let Some(properties) = rule["properties"].as_object_mut() {
            properties.remove(own);
        }
    }
    rule["required"] = json!([]);
    rule["properties"]["schema"] = version();
    rule["description"] = json!("What the rules of this folder and below have in common.");
    rule["$defs"] = definitions;
    file("HMS-OPS defaults of a folder", rule)
}

fn version() -> Value {
    json!({ "const": 1, "description": "Version of the form of these files." })
}

/// The schema of a rule and the definitions it refers to.
fn bare() -> (Value, Value) {
    let mut settings = SchemaSettings::draft07();
    settings.definitions_path = "/$defs".into();
    settings.meta_schema = None;
    let mut rule = settings.into_generator().into_root_schema_for::<Rule>().to_value();
    without_null(&mut rule);
    let definitions = rule.as_object_mut().and_then(|rule| rule.remove("$defs"));
    (rule, definitions.unwrap_or_else(|| json!({})))
}

/// A field that may be left out may not be written without a value.
fn without_null(schema: &mut Value) {
    let null = json!({ "type": "null" });
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    fields.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(ways)) = fields.get_mut("anyOf") {
                ways.retain(|way| *way != null);
                if let [Value::Object(only)] = ways.as_slice() {
                    let only = only.clone();
                    fields.remove("anyOf");
                    fields.extend(only);
                }
            }
            fields.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

fn file(title: &str, mut schema: Value) -> Value {
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!(title);
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn editors_know_the_fields_the_reader_knows() {
        let (rule, _) = bare();
        let mut shown: Vec<&str> =
            rule["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut read = crate::rule::field_names();
        shown.sort_unstable();
        read.sort_unstable();
        read.dedup();
        assert_eq!(shown, read);
    }

    /// `OPS_BLESS=1` rewrites them.
    #[test]
    fn the_schemas_in_deploy_are_those_generated() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/schemas/files");
        for (name, schema) in [("rule", rule_schema()), ("defaults", defaults_schema())] {
            let path = folder.join(format!("{name}.json"));
            let text = format!("{schema:#}\n");
            if std::env::var_os("OPS_BLESS").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let stored = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(stored == text, "{name}.json has changed; OPS_BLESS=1 rewrites it");
        }
    }
}
