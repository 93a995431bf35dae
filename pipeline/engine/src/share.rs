//! Which logs a process takes and which it hands over, so that all processes own as many, give or take one.
//!
//! Everybody computes it for himself from what everybody can see: who owns what, and who is alive. What is owned stays
//! where it is unless somebody owns two less: so a process that comes gets its share and nothing else moves, one that
//! goes leaves its share to the others, and where it is even nothing moves at all. Hashing logs to processes, tried on
//! paper, evens out worse with few logs, and evening it out moves logs between processes that neither came nor went.
//! If views differ for a moment, the compare-and-set of the own record decides, and the next look evens it out.

use stages::log::LogId;
use stages::subject::fnv1a_32;
use std::collections::{BTreeMap, BTreeSet};

/// Who owns which log; none where it is free to be taken.
pub(crate) type Owners = BTreeMap<LogId, Option<String>>;

/// What is due.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// Whose each free log is.
    pub free: BTreeMap<LogId, String>,
    /// Who hands which log over to whom, one at a time each.
    pub moves: BTreeMap<String, (LogId, String)>,
}

/// Shares the logs out among `takers`. What belongs to others, who are ending or of an older version, stays theirs.
pub(crate) fn share(owners: &Owners, takers: &BTreeSet<&str>) -> Share {
    let mut owned: BTreeMap<&str, BTreeSet<LogId>> =
        takers.iter().map(|taker| (*taker, BTreeSet::new())).collect();
    for (log, owner) in owners {
        let owner = owner.as_deref().and_then(|owner| owned.get_mut(owner));
        owner.map(|logs| logs.insert(*log));
    }
    let mut share = Share::default();
    for log in owners.iter().filter(|(_, owner)| owner.is_none()).map(|(log, _)| *log) {
        let least = owned.iter_mut().min_by_key(|(taker, logs)| (logs.len(), weight(taker, log)));
        let Some((taker, logs)) = least else { return share };
        logs.insert(log);
        share.free.insert(log, (*taker).to_owned());
    }
    while let Some((from, log, to)) = uneven(&owned) {
        owned.entry(from).or_default().remove(&log);
        owned.entry(to).or_default().insert(log);
        // One that is free moves by being taken by somebody else: not its owner's to give.
        if owners[&log].as_deref() == Some(from) {
            share.moves.entry(from.to_owned()).or_insert_with(|| (log, to.to_owned()));
        }
    }
    share
}

/// The next move from who owns most to who owns least, if that makes it more even.
fn uneven<'a>(owned: &BTreeMap<&'a str, BTreeSet<LogId>>) -> Option<(&'a str, LogId, &'a str)> {
    let (from, most) = owned.iter().max_by_key(|(_, logs)| logs.len())?;
    let (to, least) = owned.iter().min_by_key(|(_, logs)| logs.len())?;
    if most.len() < least.len() + 2 {
        return None;
    }
    let log = most.iter().min_by_key(|log| weight(to, **log))?;
    Some((from, *log, to))
}

/// Who is first where nothing else decides: another order for each log.
fn weight(process: &str, log: LogId) -> u32 {
    fnv1a_32(format!("{log} {process}").bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGS: u32 = 9;

    /// Shares out and moves until nothing is due; how many logs were handed over.
    fn settle(owners: &mut Owners, takers: &[&str]) -> usize {
        let (takers, mut moved) = (takers.iter().copied().collect(), 0);
        loop {
            let due = share(owners, &takers);
            if due == Share::default() {
                return moved;
            }
            assert!(moved < 100, "it does not come to rest: {owners:?}");
            for (log, taker) in due.free {
                owners.insert(log, Some(taker));
            }
            for (log, to) in due.moves.into_values() {
                owners.insert(log, Some(to));
                moved += 1;
            }
        }
    }

    fn free() -> Owners {
        let shards = (0..LOGS - 1).map(LogId::Shard);
        shards.chain([LogId::Desk]).map(|log| (log, None)).collect()
    }

    fn counts(owners: &Owners) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for owner in owners.values().flatten() {
            *counts.entry(&**owner).or_default() += 1;
        }
        counts
    }

    #[test]
    fn free_logs_are_shared_out_evenly() {
        let mut owners = free();
        assert_eq!(settle(&mut owners, &["a", "b", "c"]), 0);
        assert_eq!(counts(&owners), [("a", 3), ("b", 3), ("c", 3)].into());
        let mut owners = free();
        settle(&mut owners, &["a", "b"]);
        let counts: Vec<usize> = counts(&owners).into_values().collect();
        assert!(counts == [4, 5] || counts == [5, 4], "{counts:?}");
    }

    #[test]
    fn only_the_share_of_one_that_comes_or_goes_moves() {
        let mut owners = free();
        assert_eq!(settle(&mut owners, &["a"]), 0);
        assert_eq!(settle(&mut owners, &["a", "b"]), 4, "half of what a had");
        assert_eq!(settle(&mut owners, &["a", "b", "c"]), 3, "a third");
        let before = owners.clone();
        for owner in owners.values_mut().filter(|owner| owner.as_deref() == Some("b")) {
            *owner = None;
        }
        assert_eq!(settle(&mut owners, &["a", "c"]), 0);
        for (log, owner) in before.iter().filter(|(_, owner)| owner.as_deref() != Some("b")) {
            assert_eq!(owners[log], *owner, "log {log} was not the dead one's");
        }
    }

    #[test]
    fn it_comes_to_rest_evenly_from_anywhere() {
        let names = ["a", "b", "c", "d"];
        for seed in 0..500_u32 {
            let dice = |what: &str, below: u32| fnv1a_32(format!("{seed} {what}").bytes()) % below;
            let takers = &names[..dice("takers", 4) as usize + 1];
            let mut owners = free();
            for (log, owner) in &mut owners {
                *owner =
                    names.get(dice(&log.to_string(), 6) as usize).map(|name| (*name).to_owned());
            }
            let strange =
                owners.values().flatten().filter(|owner| !takers.contains(&&***owner)).count();
            settle(&mut owners, takers);
            let counts = counts(&owners);
            let own: Vec<usize> =
                takers.iter().map(|t| counts.get(t).copied().unwrap_or(0)).collect();
            assert_eq!(own.iter().sum::<usize>() + strange, LOGS as usize);
            assert!(own.iter().max().unwrap() - own.iter().min().unwrap() <= 1, "{seed}: {own:?}");
        }
    }

    #[test]
    fn what_belongs_to_one_that_takes_nothing_stays_his() {
        let mut owners = free();
        settle(&mut owners, &["old"]);
        assert_eq!(share(&owners, &["a"].into()), Share::default());
    }
}
