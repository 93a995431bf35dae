//! What is wrong with what people wrote, where, and what to write instead.
//!
//! Loading never stops at the first fault: everything found in all files goes into one [`Report`] and
//! comes back as [`Problems`], ordered by file and place.

use serde::{Serialize, Serializer};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Where something was said: a place in a file, a file as a whole, or an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Path of the file as it is shown, or `environment variable OPS_...`.
    pub file: Arc<str>,
    /// Line and column, both from 1, in characters; none for the file as a whole.
    pub position: Option<(u32, u32)>,
}

impl Place {
    /// The file as a whole.
    pub fn file(file: impl Into<Arc<str>>) -> Self {
        Self { file: file.into(), position: None }
    }

    /// A place in the same file.
    #[must_use]
    pub fn at(&self, line: u32, column: u32) -> Self {
        Self { file: Arc::clone(&self.file), position: Some((line, column)) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{}:{line}:{column}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// Whether a problem stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The settings are refused as a whole.
    Error,
    /// They work, but somebody should look.
    Warning,
}

/// What kind of fault it is; tests and tools match on this, never on text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The file or folder cannot be read.
    Unreadable,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// The file, or the number of files, is beyond its bound.
    TooLarge,
    /// Not YAML.
    NotYaml,
    /// Nested too deeply, or too many values.
    TooComplex,
    /// A folder that lies in itself.
    Cyclic,
    /// An anchor, an alias or a merge key.
    Alias,
    /// Nothing in it.
    Empty,
    /// The same key twice.
    DuplicateKey,
    /// A field nobody knows.
    UnknownField,
    /// A field that must be there.
    MissingField,
    /// Text where a number belongs, and the like.
    WrongType,
    /// A duration that cannot be read.
    BadDuration,
    /// Not one of the words known here, or not a text of this form.
    BadValue,
    /// A number or duration out of its range.
    OutOfRange,
    /// A regular expression that cannot be read.
    BadPattern,
    /// A name that is not allowed.
    BadName,
    /// Two things of one name.
    DuplicateName,
    /// Fields that exclude each other.
    Conflict,
    /// `recover` on the breaching side of the threshold.
    WrongSide,
    /// A text with places to fill in that cannot be filled in.
    BadTemplate,
    /// A version of the files' form that this `ops` does not read.
    UnknownSchema,
    /// A plan that does not exist.
    UnknownPlan,
    /// A receiver that does not exist.
    UnknownReceiver,
    /// A calendar that does not exist.
    UnknownCalendar,
    /// A time zone that does not exist.
    UnknownZone,
    /// A rule that does not exist.
    UnknownRule,
    /// A plan's script that does not exist or may not be run.
    BadScript,
    /// A secret written where anybody can read it.
    InlineSecret,
    /// Listening to the network without a token.
    Unprotected,
    /// Warning: no runbook, or one that is not there.
    NoRunbook,
    /// Warning: a receiver that nobody stands in for.
    NoFallback,
    /// Warning: a rule that tells nobody.
    NoReceiver,
    /// Warning: a plan that does not say how recovery is verified.
    NoVerify,
    /// Warning: a file that looks meant but is not read.
    NotRead,
    /// Warning: a rule whose condition nothing can meet.
    NeverFires,
    /// Warning: a rule whose condition everything meets.
    AlwaysFires,
    /// Warning: two rules that do the same.
    EqualRules,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// Whether it stands in the way.
    pub severity: Severity,
    /// What kind of fault.
    pub kind: Kind,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let note = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        write!(f, "{}: {note}{}: {}", self.place, self.message, self.remedy)
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            file: &'a str,
            line: Option<u32>,
            column: Option<u32>,
            severity: Severity,
            kind: Kind,
            message: &'a str,
            remedy: &'a str,
        }
        let shown = Shown {
            file: &self.place.file,
            line: self.place.position.map(|(line, _)| line),
            column: self.place.position.map(|(_, column)| column),
            severity: self.severity,
            kind: self.kind,
            message: &self.message,
            remedy: &self.remedy,
        };
        shown.serialize(serializer)
    }
}

/// Everything found, by file and place. Shown as one line each; as JSON an array of objects with
/// `file`, `line`, `column`, `severity`, `kind`, `message` and `remedy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many stand in the way.
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|problem| problem.severity == Severity::Error).count()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Collects problems while loading; shared by everything that reads.
#[derive(Debug, Default)]
pub(crate) struct Report {
    found: RefCell<Vec<Problem>>,
    /// Files whose texts have places to fill in, for faults inside of them.
    sources: RefCell<BTreeMap<Arc<str>, String>>,
}

impl Report {
    /// Notes a fault that stands in the way.
    pub fn error(
        &self,
        place: &Place,
        kind: Kind,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.note(place, Severity::Error, (kind, message.into(), remedy.into()));
    }

    /// Notes something somebody should look at.
    pub fn warning(
        &self,
        place: &Place,
        kind: Kind,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.note(place, Severity::Warning, (kind, message.into(), remedy.into()));
    }

    fn note(&self, place: &Place, severity: Severity, what: (Kind, String, String)) {
        let (kind, message, remedy) = what;
        let problem = Problem { place: place.clone(), severity, kind, message, remedy };
        self.found.borrow_mut().push(problem);
    }

    /// Keeps the text of a file in which faults may be found later.
    pub fn keep_source(&self, file: &Place, text: &str) {
        self.sources.borrow_mut().insert(Arc::clone(&file.file), text.to_owned());
    }

    /// The place in its file of what stands at `offset` of a text that begins at `begin`.
    ///
    /// Quotes, escapes and indentation lie between the two, so the word at `offset` is counted in the text and found in
    /// the file. The beginning of the text where that fails.
    pub fn place_inside(&self, begin: &Place, text: &str, offset: usize) -> Place {
        self.inside(begin, text, offset).unwrap_or_else(|| begin.clone())
    }

    fn inside(&self, begin: &Place, text: &str, offset: usize) -> Option<Place> {
        let sources = self.sources.borrow();
        let (source, (line, column)) = (sources.get(&begin.file)?, begin.position?);
        let start: usize = source.split_inclusive('\n').take(line as usize - 1).map(str::len).sum();
        let start = source[start..].char_indices().nth(column as usize - 1)?.0 + start;
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\');
        let word = text.get(offset..)?.split(ends).next().filter(|word| !word.is_empty())?;
        let before = text.match_indices(word).take_while(|(at, _)| *at < offset).count();
        let at = source[start..].match_indices(word).nth(before)?.0 + start;
        let lines = source[..at].matches('\n').count();
        let columns = source[..at].rsplit('\n').next()?.chars().count();
        Some(begin.at(u32::try_from(lines + 1).ok()?, u32::try_from(columns + 1).ok()?))
    }

    /// Takes over what another one found.
    pub fn add(&self, other: Self) {
        self.found.borrow_mut().extend(other.found.into_inner());
    }

    /// How many stand in the way by now.
    pub fn errors(&self) -> usize {
        let found = self.found.borrow();
        found.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// How many problems there are by now.
    pub fn count(&self) -> usize {
        self.found.borrow().len()
    }

    /// Everything found, in order.
    pub fn finish(self) -> Problems {
        let mut found = self.found.into_inner();
        let order = |it: &Problem| (it.place.clone(), it.severity, it.kind, it.message.clone());
        found.sort_by_cached_key(order);
        // What is wrong with a folder's defaults is found again with every rule of it.
        found.dedup();
        Problems(found)
    }
}
