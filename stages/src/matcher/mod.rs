//! Label matchers: which series of its metric a rule looks at, as in Prometheus.
//!
//! A label a series does not have is the empty text. Patterns match the whole value, on an engine that is linear in
//! its length; they are compiled once, when settings come into force, and looked at when a series is new: a
//! sample never meets one.
//!
//! ```
//! use stages::matcher::{Filter, parse};
//! let matchers = parse(r#"{service="courts", region!~"eu-.*"}"#).unwrap();
//! let filter = Filter::of(&matchers).unwrap();
//! let here = |region| filter.takes([("region", region), ("service", "courts")].into_iter());
//! assert!(here("us-1") && !here("eu-1"));
//! assert!(!filter.takes([("region", "us-1")].into_iter()), "no service is an empty one");
//! ```

mod parse;

pub use parse::parse;

use crate::series::check_label_pairs;
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest pattern, in bytes: nobody reads a longer one, and compiling costs with it.
pub const PATTERN_BYTES_MAX: usize = 1_000;
/// Most memory a compiled pattern may take, in bytes: `(a{100}){100}` is short and huge.
pub const PATTERN_SIZE_MAX: usize = 256 << 10;
/// Most matchers of one rule; as many as a series may have labels.
pub const MATCHERS_MAX: usize = crate::series::LABELS_MAX;

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Matcher {
    /// The label's name.
    pub label: String,
    /// How its value is held against `value`.
    pub op: Operator,
    /// Text, or a pattern for the whole value.
    pub value: String,
}

/// How a label's value is matched.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Operator {
    /// The same text.
    #[serde(rename = "=")]
    Equal,
    /// Another text.
    #[serde(rename = "!=")]
    NotEqual,
    /// The pattern matches the whole value.
    #[serde(rename = "=~")]
    Matches,
    /// It does not.
    #[serde(rename = "!~")]
    MatchesNot,
}

/// What is wrong with matchers, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct MatcherError {
    /// What kind of fault.
    pub kind: MatcherFault,
    /// In words.
    pub what: String,
    /// What to write instead.
    pub remedy: String,
    /// Where in the text it stands, in characters from 0.
    pub at: usize,
}

/// Kinds of faults of matchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatcherFault {
    /// The text is not a list of matchers.
    Form,
    /// A label's name that is not allowed.
    Label,
    /// A pattern that cannot be read.
    Pattern,
    /// A pattern too long or too large, or too many matchers.
    TooLarge,
}

impl MatcherError {
    fn new(kind: MatcherFault, what: String, remedy: &str) -> Self {
        Self { kind, what, remedy: remedy.to_owned(), at: 0 }
    }

    fn behind(self, before: usize) -> Self {
        Self { at: self.at + before, ..self }
    }
}

impl Operator {
    /// As it is written.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::MatchesNot => "!~",
        }
    }
}

impl Matcher {
    /// The short form: this label with this value.
    pub fn equal(label: &str, value: &str) -> Self {
        Self { label: label.to_owned(), op: Operator::Equal, value: value.to_owned() }
    }

    /// Checks the label's name and compiles the pattern, where it is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), MatcherError> {
        Test::of(self).map(|_| ())
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.label, self.op.sign(), self.value)
    }
}

/// Matchers ready for use.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    tests: Vec<(String, Test)>,
}

#[derive(Clone, Debug)]
enum Test {
    Is(String),
    IsNot(String),
    Fits(Regex),
    FitsNot(Regex),
}

impl Test {
    fn of(matcher: &Matcher) -> Result<Self, MatcherError> {
        let name = std::iter::once((matcher.label.as_str(), ""));
        if check_label_pairs(name).is_err() {
            let what = format!("{:?} is not a label's name", short(&matcher.label));
            let remedy = "write letters, digits and _, not beginning with a digit";
            return Err(MatcherError::new(MatcherFault::Label, what, remedy));
        }
        let value = matcher.value.clone();
        Ok(match matcher.op {
            Operator::Equal => Self::Is(value),
            Operator::NotEqual => Self::IsNot(value),
            Operator::Matches => Self::Fits(compile(&value)?),
            Operator::MatchesNot => Self::FitsNot(compile(&value)?),
        })
    }

    fn takes(&self, value: &str) -> bool {
        match self {
            Self::Is(text) => value == text,
            Self::IsNot(text) => value != text,
            Self::Fits(pattern) => pattern.is_match(value),
            Self::FitsNot(pattern) => !pattern.is_match(value),
        }
    }
}

impl Filter {
    /// Compiles matchers.
    ///
    /// # Errors
    /// The first thing wrong with them.
    pub fn of(matchers: &[Matcher]) -> Result<Self, MatcherError> {
        if matchers.len() > MATCHERS_MAX {
            let what = format!("{} matchers are more than {MATCHERS_MAX}", matchers.len());
            return Err(MatcherError::new(MatcherFault::TooLarge, what, "use fewer of them"));
        }
        let test = |it: &Matcher| Test::of(it).map(|test| (it.label.clone(), test));
        Ok(Self { tests: matchers.iter().map(test).collect::<Result<_, _>>()? })
    }

    /// Whether a series with these labels, in any order, is looked at.
    pub fn takes<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> bool {
        let value = |name: &str| {
            let found = labels.clone().find(|(label, _)| *label == name);
            found.map_or("", |(_, value)| value)
        };
        self.tests.iter().all(|(name, test)| test.takes(value(name)))
    }

    /// Whether the series of this key is looked at, see [`crate::series::series_key`].
    pub fn takes_key(&self, key: &str) -> bool {
        self.tests.is_empty() || {
            let labels: smallvec::SmallVec<[(&str, &str); 8]> =
                crate::series::split_key(key).1.collect();
            self.takes(labels.iter().copied())
        }
    }
}

fn compile(pattern: &str) -> Result<Regex, MatcherError> {
    let shown = short(pattern);
    if pattern.len() > PATTERN_BYTES_MAX {
        let what =
            format!("pattern {shown:?} has {} bytes; at most {PATTERN_BYTES_MAX}", pattern.len());
        let remedy = "write a shorter one, or several matchers";
        return Err(MatcherError::new(MatcherFault::TooLarge, what, remedy));
    }
    // Checked alone first: `a)(b` is no pattern, though it is one between brackets.
    let build = |text: &str| {
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_SIZE_MAX);
        // As in Prometheus: a dot is any character.
        builder.dot_matches_new_line(true).build()
    };
    build(pattern).and_then(|_| build(&format!("^(?:{pattern})$"))).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            let what = format!("pattern {shown:?} is too large once it is compiled");
            let remedy = "write smaller counts in {}, or list the values";
            MatcherError::new(MatcherFault::TooLarge, what, remedy)
        }
        error => {
            let text = error.to_string();
            let fault = text.lines().last().unwrap_or_default();
            let fault = fault.strip_prefix("error: ").unwrap_or(fault);
            let what = format!("pattern {shown:?} cannot be read: {fault}");
            MatcherError::new(MatcherFault::Pattern, what, "write it like eu-.* or (eu|us)-[0-9]+")
        }
    })
}

fn short(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(text: &str, labels: &[(&str, &str)]) -> bool {
        Filter::of(&parse(text).unwrap()).unwrap().takes(labels.iter().copied())
    }

    #[test]
    fn patterns_match_the_whole_value() {
        assert!(takes(r#"a=~"b|c""#, &[("a", "c")]));
        assert!(!takes(r#"a=~"b|c""#, &[("a", "cc")]) && !takes(r#"a=~"b|c""#, &[("a", "xb")]));
        assert!(takes(r#"a!~"b""#, &[("a", "bb")]) && !takes(r#"a!~"b""#, &[("a", "b")]));
        assert!(takes(r#"a=~"b.c""#, &[("a", "b\nc")]), "a dot is any character");
    }

    #[test]
    fn a_label_that_is_not_there_is_empty() {
        for (text, taken) in [
            (r#"a="""#, true),
            (r#"a!="x""#, true),
            (r#"a=~".*""#, true),
            (r#"a=~".+""#, false),
            (r#"a!~".+""#, true),
            (r#"a="x""#, false),
        ] {
            assert_eq!(takes(text, &[("b", "x")]), taken, "{text}");
        }
    }

    #[test]
    fn a_pattern_that_would_blow_up_elsewhere_is_linear_here() {
        let filter = Filter::of(&parse(r#"a=~"(x+x+)+y""#).unwrap()).unwrap();
        let value = "x".repeat(crate::series::LABEL_VALUE_BYTES_MAX);
        assert!(!filter.takes([("a", value.as_str())].into_iter()));
    }
}
