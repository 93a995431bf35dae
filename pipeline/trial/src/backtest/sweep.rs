//! One field of a rule over a range of values: `threshold=500..2000:100`, `for=0s..5m:30s`.

use super::Variant;
use stages::settings::{Compare, Rule, Settings};
use stages::time::Span;
use std::sync::Arc;

/// Most variants of a sweep: a table that people still read, and desks enough for one pass.
pub const VARIANTS_MAX: usize = 200;

/// A field and the values it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// Its name.
    pub field: String,
    values: Values,
}

#[derive(Clone, Debug, PartialEq)]
enum Values {
    Numbers(Vec<f64>),
    Spans(Vec<Span>),
}

const NUMBERS: [&str; 4] = ["threshold", "share", "recover", "min_samples"];
const SPANS: [&str; 3] = ["window", "for", "keep_firing_for"];

impl Sweep {
    /// Reads `field=from..to:step`.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let write = "write it like threshold=500..2000:100 or for=0s..5m:30s";
        let parts = text.split_once('=').and_then(|(field, rest)| {
            let (from, rest) = rest.split_once("..")?;
            let (to, step) = rest.split_once(':')?;
            Some((field.trim(), from.trim(), to.trim(), step.trim()))
        });
        let Some((field, from, to, step)) = parts else {
            return Err(format!("sweep {text:?}: {write}"));
        };
        let values = if NUMBERS.contains(&field) {
            let number = |text: &str| {
                let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
                number.ok_or_else(|| format!("sweep {text:?} is no number: {write}"))
            };
            Values::Numbers(numbers(number(from)?, number(to)?, number(step)?)?)
        } else if SPANS.contains(&field) {
            let spans = (Span::parse(from)?, Span::parse(to)?, Span::parse(step)?);
            Values::Spans(lengths(spans)?)
        } else {
            let known = [&NUMBERS[..], &SPANS[..]].concat().join(", ");
            return Err(format!("sweep of {field:?}: the fields that can be swept are {known}"));
        };
        Ok(Self { field: field.to_owned(), values })
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Numbers(numbers) => numbers.len(),
            Values::Spans(spans) => spans.len(),
        }
    }

    /// Whether there are none; there never are.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of each variant, as a number for a chart: spans in seconds.
    pub fn axis(&self) -> Vec<f64> {
        match &self.values {
            Values::Numbers(numbers) => numbers.clone(),
            Values::Spans(spans) => spans.iter().map(|span| span.as_secs_f64()).collect(),
        }
    }

    /// The rules with the field at each of its values.
    pub fn variants(&self, settings: &Settings) -> Vec<Variant> {
        let with = |label: String, change: &dyn Fn(&mut Rule)| {
            let changed = settings.rules.iter().map(|rule| {
                let mut rule = Rule::clone(rule);
                change(&mut rule);
                Arc::new(rule)
            });
            Variant { label, settings: Settings { rules: changed.collect(), ..settings.clone() } }
        };
        let field = &self.field;
        match &self.values {
            Values::Numbers(numbers) => {
                let one = |number: &f64| {
                    with(format!("{field} {number}"), &|rule| set_number(rule, field, *number))
                };
                numbers.iter().map(one).collect()
            }
            Values::Spans(spans) => {
                let one = |span: &Span| {
                    with(format!("{field} {span}"), &|rule| set_span(rule, field, *span))
                };
                spans.iter().map(one).collect()
            }
        }
    }
}

/// Of several severities the mildest one's bound.
fn set_number(rule: &mut Rule, field: &str, number: f64) {
    if let Some(mildest) =
        rule.grades.first_mut().filter(|_| matches!(field, "threshold" | "share"))
    {
        mildest.bound = number;
    }
    match field {
        "threshold" => rule.threshold = number,
        "share" => rule.share = Some(number),
        "recover" => rule.recover = Some(number),
        _ => rule.min_samples = number as u64,
    }
    // On the wrong side of the new threshold it would be a load error: there the two are one.
    rule.recover = rule.recover.map(|recover| match rule.compare {
        Compare::Greater | Compare::GreaterEqual => recover.min(rule.threshold),
        Compare::Less | Compare::LessEqual => recover.max(rule.threshold),
        Compare::Equal | Compare::NotEqual => recover,
    });
}

fn set_span(rule: &mut Rule, field: &str, span: Span) {
    match field {
        "window" => {
            // What follows from the window unless it is said, follows from the new one.
            let third = |window: Span| Span::from_millis(window.0 / 3_000_000);
            let fresh = |window: Span| third(window).max(Span::from_secs(10));
            let flap = |window: Span| Span(window.0.saturating_mul(20)).max(Span::from_secs(3_600));
            let keep = |window: Span| Span(window.0.saturating_mul(5));
            let follow = |value: &mut Span, of: &dyn Fn(Span) -> Span| {
                if *value == of(rule.window) {
                    *value = of(span);
                }
            };
            follow(&mut rule.fresh_for, &fresh);
            follow(&mut rule.gap_tolerance, &third);
            follow(&mut rule.flap_window, &flap);
            follow(&mut rule.keep_max, &keep);
            rule.window = span;
        }
        "for" => rule.hold = span,
        _ => rule.keep_firing_for = span,
    }
}

fn numbers(from: f64, to: f64, step: f64) -> Result<Vec<f64>, String> {
    if step <= 0.0 || to < from {
        return Err(format!(
            "sweep from {from} to {to} by {step}: write rising values and a step above 0"
        ));
    }
    let count = ((to - from) / step + 1e-9).floor() + 1.0;
    check(count)?;
    Ok((0..count as u32).map(|at| from + step * f64::from(at)).collect())
}

fn lengths((from, to, step): (Span, Span, Span)) -> Result<Vec<Span>, String> {
    if step == Span::ZERO || to < from {
        return Err(format!(
            "sweep from {from} to {to} by {step}: write rising values and a step above 0s"
        ));
    }
    let count = (to.0 - from.0) / step.0 + 1;
    check(count as f64)?;
    Ok((0..count).map(|at| Span(from.0 + step.0 * at)).collect())
}

fn check(count: f64) -> Result<(), String> {
    if count <= VARIANTS_MAX as f64 {
        return Ok(());
    }
    Err(format!("sweep of {count} values: at most {VARIANTS_MAX}; write a larger step"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_a_field_and_rising_values() {
        let sweep = Sweep::parse("threshold=500..2000:100").unwrap();
        assert_eq!((sweep.len(), sweep.axis()[15]), (16, 2000.0));
        assert_eq!(Sweep::parse("share=0.1..0.3:0.1").unwrap().len(), 3);
        assert_eq!(Sweep::parse("for=0s..5m:30s").unwrap().axis()[10], 300.0);
        for text in [
            "",
            "threshold",
            "threshold=5",
            "threshold=5..1:1",
            "threshold=1..5:0",
            "stat=1..2:1",
            "for=1..2:1",
            "threshold=1..1e9:1",
            "threshold=a..2:1",
            "for=0s..1d:1s",
            "threshold=NaN..1:1",
        ] {
            assert!(Sweep::parse(text).is_err(), "{text:?}");
        }
    }
}
