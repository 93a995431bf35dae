//! What stands at channels that keep what they are told, a pager or an alert behind a webhook, and how it ends.
//!
//! | what stands                        | under            | ends                                              |
//! |------------------------------------|------------------|---------------------------------------------------|
//! | messages of an incident            | the incident     | by its own end, whatever the budget (`column.rs`) |
//! | digests                            | the receiver     | once all incidents in them are over               |
//! | notices, digests of notices        | itself           | after [`STANDS`], if it is not said again         |
//! | what comes when the incident is over | itself         | after [`STANDS`]                                  |
//!
//! Without an end a pager would show them for ever, and the next one of the same key would wake nobody.

use crate::desk::budget::{Digest, End, STANDS, Stands};
use crate::desk::state::{Chore, State};
use crate::desk::{Desk, route, say, words};
use crate::output::Output;
use crate::settings::Receiver;
use crate::time::Time;
use crate::wire::{Intent, Reason};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A message that nothing else ends. There are no more of them than a budget lets through in [`STANDS`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    until: Time,
    intent: Intent,
}

/// Lets a message stand by itself, and end by itself where that matters.
pub fn stand(state: &mut State, intent: &mut Intent) {
    if intent.incident.is_some() {
        intent.dedup_key = say::key(&["after", &intent.key]);
    }
    if intent.channels.first().is_some_and(|kind| Reason::Resolved.moves(kind)) {
        let (key, until) = (intent.dedup_key.clone(), state.now.plus(STANDS));
        state.agenda.insert((until, Chore::StandingEnds(key.clone())));
        state.standing.insert(key, Standing { until, intent: intent.clone() });
    }
}

impl Desk {
    /// A message that stands by itself has stood long enough, unless it was said again.
    pub(super) fn end_standing(&mut self, key: &str) {
        let (now, position) = (self.state.now, self.state.position);
        let due = self.state.standing.get(key).is_some_and(|it| it.until <= now);
        let Some(standing) = due.then(|| self.state.standing.remove(key)).flatten() else { return };
        let summary = format!("{} - closed by itself", standing.intent.summary);
        let intent = say::end((now, position), summary, standing.intent);
        self.out.push(Output::commit(self.subjects.notify(&intent.receiver), &intent));
    }

    /// The digest of the receiver named `name`, if it is due.
    pub(super) fn send_digest(&mut self, name: &str) {
        let (now, at) = (self.state.now, (self.state.now, self.state.position));
        let Some(digest) = self.state.budgets.digest(name, now) else { return };
        let Some(receiver) = self.reads_digests_of(name) else { return };
        let summary = words::digest(digest.count, &digest.reasons);
        let stands = keeps(&receiver).then(|| self.state.budgets.stand(name, &digest, now));
        let (critical, ended) = match stands {
            None => (digest.critical, None),
            Some(Stands::Over { critical }) => (critical, Some(now)),
            Some(Stands::Until { until, critical, instead }) => {
                if let Some(end) = instead {
                    self.say_digest_end(name, &receiver, end);
                }
                if until > now {
                    self.state.agenda.insert((until, Chore::DigestEnds(name.to_owned())));
                }
                (critical, None)
            }
        };
        let digest = Digest { critical, ..digest };
        let intent = say::digest_intent(at, (name, &receiver), digest, summary);
        let intent = Intent { ended, ..intent };
        self.out.push(Output::commit(self.subjects.notify(&receiver.name), &intent));
    }

    /// Ends what the digests of the receiver named `name` left standing, if all of it is over.
    pub(super) fn end_digest(&mut self, name: &str) {
        let Some(end) = self.state.budgets.end(name, self.state.now) else { return };
        if let Some(receiver) = self.reads_digests_of(name).filter(|it| keeps(it)) {
            self.say_digest_end(name, &receiver, end);
        }
    }

    fn say_digest_end(&mut self, name: &str, receiver: &Receiver, end: End) {
        let at = (self.state.now, self.state.position);
        let digest = Digest { number: end.number, critical: end.critical, ..Digest::default() };
        let summary = words::DIGEST_OVER.to_owned();
        let intent = say::digest_intent(at, (name, receiver), digest, String::new());
        let intent = say::end(at, summary, intent);
        self.out.push(Output::commit(self.subjects.notify(&receiver.name), &intent));
    }

    /// A receiver that has left the settings: its digest is still somebody's.
    fn reads_digests_of(&self, name: &str) -> Option<Arc<Receiver>> {
        let settings = &self.state.settings;
        route::named(settings, name).or_else(|| route::fallback(settings))
    }
}

/// Whether the channel that is tried first keeps what it is told until it is closed.
fn keeps(receiver: &Receiver) -> bool {
    receiver.channels.first().is_some_and(|kind| Reason::Resolved.moves(kind))
}
