//! Joint: what the judgements of several terms mean together.
//!
//! A list of terms is in breach where all are, and clear where one is; a rule is in breach where one of its lists is,
//! and clear where all are. What cannot be said of a term leaves the whole unsaid only where it could turn it: the
//! logic of three values, with "between the thresholds" as a fourth that is neither breach nor clear.

use crate::judge::{Judgement, Verdict};
use crate::wire::DataFlag;

/// What all terms say together, and which term decided it: its list and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joint {
    /// As of one rule.
    pub judged: Judgement,
    /// Whose evidence is shown.
    pub decisive: (usize, usize),
}

/// How much a verdict weighs where all must be in breach; the heaviest is that of the list.
fn weight_of_all(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Breach(_) => 0,
        Verdict::Between => 1,
        Verdict::Undecided => 2,
        Verdict::Clear(_) => 3,
    }
}

/// The same where one in breach is enough.
fn weight_of_any(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Clear(_) => 0,
        Verdict::Between => 1,
        Verdict::Undecided => 2,
        Verdict::Breach(_) => 3,
    }
}

/// Joins the judgements of a rule's terms; there is at least one.
pub fn join(lists: &[Vec<Judgement>]) -> Option<Joint> {
    // Of equals the first: `max_by_key` would take the last.
    let heaviest = |list: &Vec<Judgement>| {
        let weights = list.iter().map(|judged| weight_of_all(judged.verdict));
        weights.enumerate().max_by_key(|(at, weight)| (*weight, usize::MAX - at)).map(|(at, _)| at)
    };
    let deciding =
        lists.iter().enumerate().filter_map(|(list, terms)| Some((list, heaviest(terms)?)));
    let decisive = deciding
        .max_by_key(|(list, at)| (weight_of_any(lists[*list][*at].verdict), usize::MAX - list))?;
    let all = || lists.iter().flatten();
    let mut judged = lists[decisive.0][decisive.1];
    judged.due = all().filter_map(|judged| judged.due).min();
    // A series that is missing ends the alert only where nothing of it is left.
    if judged.data == DataFlag::MissingSeries
        && all().any(|judged| judged.data != DataFlag::MissingSeries)
    {
        judged.data = DataFlag::NoData;
    }
    Some(Joint { judged, decisive })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::axis::Ground;

    fn judged(verdict: Verdict) -> Judgement {
        Judgement { verdict, data: DataFlag::Fresh, due: None, keep_until: None }
    }

    const BREACH: Verdict = Verdict::Breach(Ground::Value);
    const CLEAR: Verdict = Verdict::Clear(Ground::Value);
    const ALL: [Verdict; 4] = [BREACH, CLEAR, Verdict::Between, Verdict::Undecided];

    /// By words, not by weights.
    fn expected(all: bool, pair: [Verdict; 2]) -> Verdict {
        let (strong, weak) = if all { (CLEAR, BREACH) } else { (BREACH, CLEAR) };
        if pair.contains(&strong) {
            strong
        } else if pair.contains(&Verdict::Undecided) {
            Verdict::Undecided
        } else if pair.contains(&Verdict::Between) {
            Verdict::Between
        } else {
            weak
        }
    }

    #[test]
    fn pairs_mean_what_the_words_say() {
        for one in ALL {
            for other in ALL {
                let all = join(&[vec![judged(one), judged(other)]]).unwrap();
                assert_eq!(
                    all.judged.verdict,
                    expected(true, [one, other]),
                    "all {one:?} {other:?}"
                );
                let any = join(&[vec![judged(one)], vec![judged(other)]]).unwrap();
                assert_eq!(
                    any.judged.verdict,
                    expected(false, [one, other]),
                    "any {one:?} {other:?}"
                );
            }
        }
        assert_eq!(join(&[]), None);
    }

    #[test]
    fn evidence_is_that_of_the_first_term_that_decided() {
        let lists = [vec![judged(BREACH), judged(CLEAR)], vec![judged(BREACH), judged(BREACH)]];
        assert_eq!(join(&lists).unwrap().decisive, (1, 0));
        assert_eq!(join(&lists[..1]).unwrap().decisive, (0, 1));
    }

    #[test]
    fn a_missing_series_ends_the_alert_only_where_all_are_missing() {
        let missing = Judgement { data: DataFlag::MissingSeries, ..judged(Verdict::Undecided) };
        assert_eq!(join(&[vec![missing, missing]]).unwrap().judged.data, DataFlag::MissingSeries);
        let lists = [vec![missing, judged(BREACH)]];
        assert_eq!(join(&lists).unwrap().judged.data, DataFlag::NoData);
    }
}
