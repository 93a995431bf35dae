//! What a process does about its share of the logs, beat by beat: takes what is free and its own, waits for what is handed
//! to it, hands over what is too much.
//!
//! A log that is handed over is spoken of first: its owner says to whom it goes, the other says that it waits and looks
//! at it every few milliseconds, and only then does the owner work off, save and release it. So nobody works on it no
//! longer than the other needs to load what was just saved; and if the other dies before, nothing has happened.

use crate::alive::{self, Alive, Says};
use crate::error::EngineError;
use crate::health::ELSEWHERE;
use crate::keeper::{Keeper, all_logs};
use crate::ownership::{self, Taking};
use crate::share::{self, Owners};
use bus::BusError;
use stages::log::LogId;
use std::collections::{BTreeMap, BTreeSet};

/// A free log whose turn somebody else does not take within so many of our beats is anybody's.
const GRACE_BEATS: u32 = 3;

/// What is known of others, and what is under way.
#[derive(Default)]
pub(crate) struct Claims {
    alive: Alive,
    looked: bool,
    /// Owners of the logs that are not ours.
    elsewhere: BTreeMap<LogId, String>,
    /// Own beats since a log was found free that is somebody else's to take.
    free_for: BTreeMap<LogId, u32>,
    /// Cannot be continued; not tried again by this process.
    refused: BTreeSet<LogId>,
    /// What we hand over, and to whom; said in the next heartbeat.
    gives: Option<(LogId, String)>,
    /// It is on its way.
    giving: bool,
    /// Logs that are handed over to us.
    waits: BTreeSet<LogId>,
}

impl Claims {
    /// Whether a log is handed over to us.
    pub fn waits(&self) -> bool {
        !self.waits.is_empty()
    }

    /// To whom `log` was being handed over, if it was; that is over now.
    pub fn given(&mut self, log: LogId) -> Option<String> {
        let (_, to) = self.gives.take_if(|(given, _)| *given == log)?;
        std::mem::take(&mut self.giving).then_some(to)
    }

    fn says(&self) -> Says {
        let gives = self.gives.as_ref().map(|(log, to)| (log.to_string(), to.clone()));
        let waits = self.waits.iter().map(LogId::to_string).collect();
        Says { takes: true, gives, waits }
    }
}

impl Keeper {
    /// Says that we are alive, looks at who else is and who owns what, and does what is due.
    pub(crate) async fn claim(&mut self) -> Result<(), BusError> {
        let claims = &mut self.state.claims;
        let (bus, subjects) = (&self.options.bus, &self.options.subjects);
        alive::say(bus, subjects, &self.boot, claims.says()).await?;
        let watched: Vec<String> = claims.elsewhere.values().cloned().collect();
        claims.alive.look(bus, subjects, &self.boot, &watched).await?;
        let mut owners = Owners::new();
        for log in all_logs(self.options.shards) {
            if let Some(owner) = self.look_at(log).await {
                owners.insert(log, owner);
            }
        }
        let claims = &mut self.state.claims;
        claims.looked = true;
        let mine = &self.boot.process;
        claims.waits =
            owners.keys().copied().filter(|log| claims.alive.is_given(*log, mine)).collect();
        let takers: BTreeSet<&str> = claims.alive.takers().chain([&**mine]).collect();
        let due = share::share(&owners, &takers);
        claims.free_for.retain(|log, _| due.free.contains_key(log));
        for (log, taker) in &due.free {
            let waited = self.state.claims.free_for.entry(*log).or_default();
            *waited += 1;
            if taker == &self.boot.process || *waited > GRACE_BEATS {
                self.take(*log).await;
            } else {
                let text = format!("{ELSEWHERE}{taker} in a moment");
                self.register.log(*log, |health| health.elsewhere = Some(text));
            }
        }
        self.give(due.moves.get(&self.boot.process));
        Ok(())
    }

    /// Whose a log is: ours, another's who is alive, or free (`None` inside). Nothing where it is not known. What is ours
    /// by right, whatever our share, is taken at once.
    async fn look_at(&mut self, log: LogId) -> Option<Option<String>> {
        if self.state.owned.contains_key(&log) {
            return Some(Some(self.boot.process.clone()));
        }
        if self.state.claims.refused.contains(&log) {
            return None;
        }
        let owner = match ownership::owner(&self.options.bus, &self.options.subjects, log).await {
            Ok(owner) => owner,
            Err(error) => {
                self.not_taken(log, &error);
                return None;
            }
        };
        let claims = &mut self.state.claims;
        let Some(owner) = owner else {
            claims.elsewhere.remove(&log);
            return Some(None);
        };
        // Our own name from before a restart; our own take or release whose ack never came.
        if owner.boot == self.boot.id || (!claims.looked && owner.process == self.boot.process) {
            self.take(log).await;
            return Some(Some(self.boot.process.clone()));
        }
        let text = if owner.process == self.boot.process {
            format!(
                "another process runs under the name {}, which must be one's own: start one of them with another --name",
                owner.process
            )
        } else {
            format!("{ELSEWHERE}{}", owner.process)
        };
        self.register.log(log, |health| health.elsewhere = Some(text));
        claims.elsewhere.insert(log, owner.process.clone());
        Some((!claims.alive.is_dead(&owner.process)).then_some(owner.process))
    }

    /// Looks whether what is handed over to us is free by now.
    pub(crate) async fn take_what_is_given(&mut self) {
        for log in self.state.claims.waits.clone() {
            let owner = ownership::owner(&self.options.bus, &self.options.subjects, log).await;
            if matches!(owner, Ok(None)) {
                self.take(log).await;
            }
        }
    }

    async fn take(&mut self, log: LogId) {
        self.state.claims.waits.remove(&log);
        if let Err(error) = self.try_take(log).await {
            self.not_taken(log, &error);
            // A newer version may end, and an older one take it back as it left it.
            if !matches!(error, EngineError::Bus(_) | EngineError::Newer { .. }) {
                self.state.claims.refused.insert(log);
            }
        }
    }

    fn not_taken(&self, log: LogId, error: &EngineError) {
        self.register.trouble(format!("taking log {log}: {error}"));
        self.register.log(log, |health| health.elsewhere = Some(error.to_string()));
    }

    async fn try_take(&mut self, log: LogId) -> Result<(), EngineError> {
        let (boot, claims) = (&self.boot, &self.state.claims);
        let (bus, subjects) = (&self.options.bus, &self.options.subjects);
        let taking = ownership::take(bus, subjects, boot, log, |owner| {
            (!claims.looked && owner.process == boot.process)
                || owner.boot == boot.id
                || claims.alive.is_dead(&owner.process)
        });
        match taking.await? {
            Taking::Taken(tenure) => {
                self.state.claims.elsewhere.remove(&log);
                self.recover(*tenure).await
            }
            Taking::OwnedBy(process) => {
                let text = format!("{ELSEWHERE}{process}");
                self.register.log(log, |health| health.elsewhere = Some(text));
                self.state.claims.elsewhere.insert(log, process);
                Ok(())
            }
        }
    }

    /// Speaks of what is to be handed over, and hands it over once the other waits for it.
    fn give(&mut self, due: Option<&(LogId, String)>) {
        let claims = &mut self.state.claims;
        if claims.giving {
            return;
        }
        let due = due.filter(|(log, _)| self.register.is_well(*log));
        if claims.gives.as_ref() != due {
            claims.gives = due.cloned();
            return;
        }
        let Some((log, to)) = due.filter(|(log, to)| claims.alive.waits(to, *log)) else { return };
        claims.giving = true;
        self.hand_over(*log, to);
    }

    /// Says that we take no more logs: ours are shared out among the others as they become free.
    pub(crate) async fn say_goodbye(&self) {
        let (bus, subjects) = (&self.options.bus, &self.options.subjects);
        if let Err(error) = alive::say(bus, subjects, &self.boot, Says::default()).await {
            tracing::debug!(%error, "nobody was told that we end");
        }
    }
}
