//! Two variants side by side: incidents gained and lost, and those that would have been opened earlier or later.

use super::seen::{Incident, Seen};
use serde::Serialize;
use stages::time::{Span, Time};

/// How the second of two differs from the first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Labels of the one that is tried and the one it is held against.
    pub labels: (String, String),
    /// Opened by the one that is tried alone.
    pub gained: Vec<Incident>,
    /// Opened by the other alone.
    pub lost: Vec<Incident>,
    /// Opened by both, the one that is tried first.
    pub earlier: Vec<Moved>,
    /// Opened by both, the one that is tried last.
    pub later: Vec<Moved>,
    /// Opened by both in the same instant.
    pub same: usize,
}

/// An incident both have, at different times.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moved {
    /// As the one that is tried has it.
    pub incident: Incident,
    /// When the other opened it.
    pub other: Time,
    /// How far they lie apart.
    pub by: Span,
}

/// Holds `tried` against `other`. Two incidents are one where rule and group are the same and they were open at the same
/// time.
pub fn compare(tried: &Seen, other: &Seen) -> Comparison {
    let labels = (tried.label.clone(), other.label.clone());
    let (gained, lost, earlier, later) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut comparison = Comparison { labels, gained, lost, earlier, later, same: 0 };
    let mut left: Vec<Option<&Incident>> = other.incidents.iter().map(Some).collect();
    for incident in &tried.incidents {
        let partner =
            left.iter_mut().find(|one| one.is_some_and(|one| is_one(incident, one, tried.span.1)));
        let Some(partner) = partner.and_then(Option::take) else {
            // Another of ours may have taken the one theirs was: then it is the same trouble, cut differently.
            comparison.gained.push(incident.clone());
            continue;
        };
        let (ours, theirs) = (incident.opened, partner.opened);
        let moved = |by| Moved { incident: incident.clone(), other: theirs, by };
        match ours.cmp(&theirs) {
            std::cmp::Ordering::Less => comparison.earlier.push(moved(theirs.since(ours))),
            std::cmp::Ordering::Equal => comparison.same += 1,
            std::cmp::Ordering::Greater => comparison.later.push(moved(ours.since(theirs))),
        }
    }
    comparison.lost.extend(left.into_iter().flatten().cloned());
    comparison
}

fn is_one(one: &Incident, other: &Incident, until: Time) -> bool {
    let end = |incident: &Incident| incident.opened.plus(incident.length(until));
    one.rule == other.rule
        && one.group == other.group
        && one.opened <= end(other)
        && other.opened <= end(one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stages::wire::AlertState;

    fn seen(spans: &[(i64, i64)]) -> Seen {
        let time = |seconds: i64| Time::from_millis(seconds * 1_000);
        let incident = |(opened, ended): &(i64, i64)| Incident {
            id: String::new(),
            rule: "r".to_owned(),
            group: String::new(),
            severity: String::new(),
            opened: time(*opened),
            detected_after: None,
            ended: (*ended > 0).then(|| (time(*ended), AlertState::Resolved)),
            reading: None,
            pages: 0,
            messages: 0,
            untold: None,
            fired_again: 0,
            flapping: false,
            rollbacks: Vec::new(),
        };
        let incidents = spans.iter().map(incident).collect();
        Seen { label: String::new(), incidents, transitions: 0, span: (time(0), time(1_000)) }
    }

    #[test]
    fn incidents_that_overlap_are_one_and_the_others_gained_or_lost() {
        let tried = seen(&[(10, 50), (100, 150), (300, 310), (500, 0)]);
        let other = seen(&[(20, 60), (90, 140), (400, 410), (500, 520)]);
        let found = compare(&tried, &other);
        let opened = |list: &[Incident]| {
            list.iter().map(|one| one.opened.as_millis() / 1000).collect::<Vec<_>>()
        };
        assert_eq!((opened(&found.gained), opened(&found.lost)), (vec![300], vec![400]));
        assert_eq!(
            found.earlier.iter().map(|one| one.by).collect::<Vec<_>>(),
            [Span::from_secs(10)]
        );
        assert_eq!(found.later.iter().map(|one| one.by).collect::<Vec<_>>(), [Span::from_secs(10)]);
        assert_eq!(found.same, 1);
    }
}
