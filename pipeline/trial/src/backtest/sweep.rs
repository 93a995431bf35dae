//! One field of a rule over a range of values: `threshold=500..2000:100`, `for=0s..5m:30s`. Of a rule with several conditions
//! the field of one of them: `errors / requests threshold=0.01..0.1:0.01`.

use super::Variant;
use stages::settings::{Compare, Rule, Settings, Stat};
use stages::term::Term;
use stages::time::Span;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most variants of a sweep: a table that people still read, and desks enough for one pass.
pub const VARIANTS_MAX: usize = 200;

/// A field and the values it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// Its name.
    pub field: String,
    /// The condition it is a field of, as it is shown; none: the rule, or its only condition.
    term: Option<String>,
    values: Values,
}

#[derive(Clone, Debug, PartialEq)]
enum Values {
    Numbers(Vec<f64>),
    Spans(Vec<Span>),
}

const NUMBERS: [&str; 4] = ["threshold", "share", "recover", "min_samples"];
const SPANS: [&str; 3] = ["window", "for", "keep_firing_for"];
/// Fields of a condition; the others are the rule's.
const OF_TERMS: [&str; 5] = ["threshold", "share", "recover", "min_samples", "window"];

impl Sweep {
    /// Reads `field=from..to:step`, perhaps with a condition before it.
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
        let (term, field) = match field.rsplit_once(char::is_whitespace) {
            Some((term, field)) => (Some(term.trim().to_owned()), field),
            None => (None, field),
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
        Ok(Self { field: field.to_owned(), term, values })
    }

    /// Whether every rule that is tried has what is swept.
    ///
    /// # Errors
    /// Which rule has not, and what to write instead.
    pub fn fits(&self, settings: &Settings) -> Result<(), String> {
        settings.rules.iter().try_for_each(|rule| self.fits_rule(rule))
    }

    fn fits_rule(&self, rule: &Rule) -> Result<(), String> {
        let (name, field) = (&rule.name, &self.field);
        if !OF_TERMS.contains(&field.as_str()) {
            let Some(term) = &self.term else { return Ok(()) };
            return Err(format!(
                "sweep of {field:?} of {term:?}: {field} is the rule's, leave the condition out"
            ));
        }
        let shares = match &self.term {
            None => matches!(rule.stat, Stat::Above | Stat::Below),
            Some(_) => self.swept(rule).all(|term| term.share.is_some()),
        };
        if field == "share" && !shares {
            return Err(format!("rule {name} has no share: that is of stat above or below"));
        }
        let shown: BTreeSet<String> = rule.terms().map(Term::shown).collect();
        let list = || {
            let quoted = shown.iter().map(|term| format!("{:?}", format!("{term} {field}")));
            quoted.collect::<Vec<_>>().join(" or ")
        };
        match &self.term {
            Some(term) if !rule.is_joined() && *term != rule.metric => {
                Err(format!("rule {name} watches {}, not {term:?}: sweep {field}", rule.metric))
            }
            Some(term) if rule.is_joined() => match self.swept(rule).count() {
                0 => Err(format!("rule {name} has no condition {term:?}: sweep {}", list())),
                1 => Ok(()),
                alike => Err(format!(
                    "rule {name} has {alike} conditions {term:?}: a sweep cannot tell them apart"
                )),
            },
            None if rule.is_joined() && rule.lone_term().is_none() => {
                Err(format!("rule {name} has several conditions: say which one, sweep {}", list()))
            }
            _ => Ok(()),
        }
    }

    /// The conditions that are meant.
    fn swept<'a>(&'a self, rule: &'a Rule) -> impl Iterator<Item = &'a Term> {
        rule.terms().filter(|term| self.term.as_ref().is_none_or(|shown| term.shown() == *shown))
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
        let (field, term) = (&self.field, self.term.as_deref());
        match &self.values {
            Values::Numbers(numbers) => {
                let one = |number: &f64| {
                    with(format!("{field} {number}"), &|rule| {
                        set_number(rule, (field, term), *number)
                    })
                };
                numbers.iter().map(one).collect()
            }
            Values::Spans(spans) => {
                let one = |span: &Span| {
                    with(format!("{field} {span}"), &|rule| set_span(rule, (field, term), *span))
                };
                spans.iter().map(one).collect()
            }
        }
    }
}

/// Of several severities the mildest one's bound.
fn set_number(rule: &mut Rule, (field, term): (&str, Option<&str>), number: f64) {
    for term in swept(rule, term) {
        match field {
            "threshold" => term.threshold = number,
            "share" => term.share = Some(number),
            "recover" => term.recover = Some(number),
            _ => term.min_samples = number as u64,
        }
        term.recover = within(term.recover, (term.compare, term.threshold));
    }
    if rule.terms().count() > 1 {
        return;
    }
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
    rule.recover = within(rule.recover, (rule.compare, rule.threshold));
}

/// The conditions that are swept: those shown so, or all of a rule with one.
fn swept<'a>(rule: &'a mut Rule, shown: Option<&'a str>) -> impl Iterator<Item = &'a mut Term> {
    let all = rule.any_of.iter_mut().flatten();
    all.filter(move |term| shown.is_none_or(|shown| term.shown() == shown))
}

/// On the wrong side of the new threshold `recover` would be a load error: there the two are one.
fn within(recover: Option<f64>, (compare, threshold): (Compare, f64)) -> Option<f64> {
    recover.map(|recover| match compare {
        Compare::Greater | Compare::GreaterEqual => recover.min(threshold),
        Compare::Less | Compare::LessEqual => recover.max(threshold),
        Compare::Equal | Compare::NotEqual => recover,
    })
}

/// What follows from the window unless it is said, follows from the new one.
fn follow(value: &mut Span, (before, after): (Span, Span), of: impl Fn(Span) -> Span) {
    if *value == of(before) {
        *value = of(after);
    }
}

fn set_span(rule: &mut Rule, (field, term): (&str, Option<&str>), span: Span) {
    let third = |window: Span| Span::from_millis(window.0 / 3_000_000);
    let fresh = |window: Span| third(window).max(Span::from_secs(10));
    match field {
        "window" => {
            for term in swept(rule, term) {
                follow(&mut term.fresh_for, (term.window, span), fresh);
                term.window = span;
            }
            // Of several conditions the longest is the rule's.
            let longest = rule.terms().map(|term| term.window).max().unwrap_or(span);
            let windows = (rule.window, longest);
            let flap = |window: Span| Span(window.0.saturating_mul(20)).max(Span::from_secs(3_600));
            let keep = |window: Span| Span(window.0.saturating_mul(5));
            follow(&mut rule.fresh_for, windows, fresh);
            follow(&mut rule.gap_tolerance, windows, third);
            follow(&mut rule.flap_window, windows, flap);
            follow(&mut rule.keep_max, windows, keep);
            rule.window = longest;
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
    /// Settings with one rule, as its file says it.
    fn tried(text: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("alerts")).unwrap();
        let text = format!("{text}notify: [anna@example.org]\n");
        std::fs::write(folder.path().join("alerts/tried.yml"), text).unwrap();
        let loaded = settings::load_with(&settings::Layout::at(folder.path()), |_| None);
        loaded.unwrap_or_else(|problems| panic!("{problems}")).settings
    }

    const ALL: &str = "all:
  - {metric: api_ms, stat: p95, threshold: 800, recover: 700, window: 5m}
  - {metric: queue_depth, threshold: 100, window: 1m}
";

    fn sweep(text: &str) -> Sweep {
        Sweep::parse(text).unwrap()
    }

    #[test]
    fn of_several_conditions_one_is_swept_by_its_name() {
        let settings = tried(ALL);
        let swept = sweep("api_ms threshold=500..700:100");
        assert_eq!(swept.fits(&settings), Ok(()));
        let variants = swept.variants(&settings);
        let terms = |at: usize| variants[at].settings.rules[0].any_of[0].clone();
        assert_eq!((terms(0)[0].threshold, terms(0)[1].threshold), (500.0, 100.0));
        assert_eq!((terms(0)[0].recover, terms(2)[0].recover), (Some(500.0), Some(700.0)));
        let swept = sweep("queue_depth window=1m..9m:4m");
        let variants = swept.variants(&settings);
        let windows = |at: usize| variants[at].settings.rules[0].window.as_secs_f64();
        assert_eq!((windows(0), windows(1), windows(2)), (300.0, 300.0, 540.0), "the longest");
        for (text, why) in [
            ("threshold=1..2:1", "say which one, sweep \"api_ms threshold\" or \"queue_depth"),
            ("disk threshold=1..2:1", "no condition \"disk\""),
            ("api_ms for=1s..2s:1s", "for is the rule's"),
            ("api_ms share=0.1..0.2:0.1", "has no share"),
        ] {
            let said = sweep(text).fits(&settings).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn a_rule_with_one_condition_is_swept_without_its_name() {
        let ratio = tried("metric: errors / requests\nstat: sum\nthreshold: 0.05\nwindow: 5m\n");
        let swept = sweep("threshold=0.01..0.02:0.01");
        assert_eq!(swept.fits(&ratio), Ok(()));
        let variants = swept.variants(&ratio);
        let rule = &variants[1].settings.rules[0];
        assert_eq!((rule.any_of[0][0].threshold, rule.threshold), (0.02, 0.02));
        assert_eq!(sweep("errors / requests threshold=1..2:1").fits(&ratio), Ok(()));
        let plain = tried("metric: api_ms\nthreshold: 800\nwindow: 5m\n");
        assert_eq!(sweep("threshold=1..2:1").fits(&plain), Ok(()));
        let said = sweep("other_ms threshold=1..2:1").fits(&plain).unwrap_err();
        assert!(said.contains("watches api_ms"), "{said}");
        assert!(sweep("share=0.1..0.2:0.1").fits(&plain).is_err());
    }

    #[test]
    fn conditions_that_are_shown_alike_are_not_swept() {
        let settings = tried("metric: errors / requests\nslo: {objective: 99.9, window: 30d}\n");
        let said = sweep("errors / requests threshold=1..2:1").fits(&settings).unwrap_err();
        assert!(said.contains("cannot tell them apart"), "{said}");
    }
}
