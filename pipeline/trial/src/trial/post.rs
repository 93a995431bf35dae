//! What becomes of the words of logs: relayed at once to the logs they concern, or given to the edges.

use super::Trial;
use crate::TrialError;
use crate::edge::relayed;
use crate::line::Ended;
use crate::said::{Said, Spoken};
use bytes::Bytes;
use serde_json::value::RawValue;
use stages::log::{DeskKind, EntryKind, LogId};
use stages::output::{Output, Target};
use stages::time::Time;
use stages::wire::{ShardEvent, Source};

/// Where a message came from, and what it is.
struct Letter {
    from: From,
    time: Time,
    output: Output,
}

/// Who said something.
#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    Shard,
    Desk(usize),
}

impl Trial {
    pub(super) fn post(&mut self, from: From) {
        self.mail.extend(self.ended.drain(..).map(|ended| (from, ended)));
    }

    /// Carries what was said to whom it concerns, until nobody says anything more.
    pub(super) fn settle(&mut self) -> Result<(), TrialError> {
        while let Some((from, Ended { time, outputs })) = self.mail.pop_front() {
            for output in outputs {
                self.deliver(Letter { from, time, output })?;
            }
        }
        Ok(())
    }

    fn deliver(&mut self, letter: Letter) -> Result<(), TrialError> {
        let Letter { from, time, output } = letter;
        if output.target == Target::DeadLetter {
            let reason = output.subject.rsplit('.').next().unwrap_or_default().to_owned();
            self.refused.entry(reason).or_insert(output.payload);
            return Ok(());
        }
        self.events += 1;
        self.keep(from, &output);
        let Some(said) = Said::read(&self.setup.subjects, &output) else { return Ok(()) };
        let at = match from {
            From::Desk(desk) => Some(desk),
            From::Shard => self.concerned(&said),
        };
        let desk = at.unwrap_or_default();
        match &said {
            // Nobody but the desks has a use for it, and there is much of it.
            Said::Shard(ShardEvent::Glimpses(_)) => {
                let relayed = self.relay(time, &output);
                let kind = EntryKind::Desk(DeskKind::Transition);
                for desk in 0..self.desks.len() {
                    self.append_desk(desk, time, kind.clone(), relayed.clone())?;
                }
                return Ok(());
            }
            // What a desk judges itself it knows.
            Said::Shard(_) if matches!(from, From::Desk(_)) => {}
            Said::Shard(_) => {
                let relayed = self.relay(time, &output);
                let kind = EntryKind::Desk(DeskKind::Transition);
                let everybody = 0..self.desks.len();
                for desk in at.map_or(everybody.clone(), |desk| desk..desk.saturating_add(1)) {
                    if !everybody.contains(&desk) {
                        break;
                    }
                    self.append_desk(desk, time, kind.clone(), relayed.clone())?;
                }
            }
            Said::Command(command) => self.desks[desk].edges.command(time, command.clone()),
            Said::Withdraw(wish) => {
                let edges = &mut self.desks[desk].edges;
                if let Some(stored) = edges.withdraw(time, wish.clone(), &self.setup.subjects) {
                    self.append_desk(desk, time, EntryKind::Desk(DeskKind::Outcome), stored)?;
                }
            }
            Said::Request(_) => {
                let last = output.subject.rsplit('.').next();
                let shard = last.and_then(|shard| shard.parse().ok()).unwrap_or(0);
                let relayed = self.relay(time, &output);
                if shard < self.shards.len() {
                    self.append_shard(shard, time, EntryKind::Verify, relayed)?;
                }
            }
            Said::Alert(_) | Said::Message(_) | Said::Rollback(_) => {}
        }
        self.spoken.push(Spoken { time, desk, said });
        Ok(())
    }

    /// The desk something of a shard is for; none: all of them.
    fn concerned(&self, said: &Said) -> Option<usize> {
        match said {
            Said::Shard(ShardEvent::Transition(moved)) => {
                Some(self.desk_of.get(&moved.rule).copied().unwrap_or_default())
            }
            // Every desk knows its own incidents.
            _ => None,
        }
    }

    fn relay(&self, time: Time, output: &Output) -> Bytes {
        let source = Source { stream: "events".to_owned(), sequence: self.events, time };
        let body: &RawValue = serde_json::from_slice(&output.payload).expect("stages write JSON");
        relayed(source, output.subject.clone(), &body)
    }

    fn keep(&mut self, from: From, output: &Output) {
        if !self.setup.keep {
            return;
        }
        let log = match from {
            From::Desk(0) => LogId::Desk,
            From::Desk(_) => return,
            From::Shard => {
                let last = output.subject.rsplit('.').next();
                LogId::Shard(last.and_then(|shard| shard.parse().ok()).unwrap_or_default())
            }
        };
        self.outputs.entry(log).or_default().push(output.clone());
    }
}
