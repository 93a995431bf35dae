//! Reads the bus after an unclear answer: was it stored, and is the log still ours?
//!
//! It comes back only when the bus has said so; while the bus is away there is nothing better to do than to ask again.

use crate::commit::{Lost, Outside, Tenure};
use crate::patience::Patience;
use crate::said::{self, Said};
use bus::{BusError, Stream};
use stages::log::LogId;
use stages::output::Output;
use stages::wire::CommitRecord;

impl Outside {
    /// The sequence of `record` if it was stored, none if it was not (it may still arrive; then the next attempt meets
    /// a conflict and finds it here), lost if somebody else wrote.
    pub async fn read_back(
        &self,
        tenure: &Tenure,
        record: &CommitRecord,
    ) -> Result<Option<u64>, Lost> {
        let mut patience = Patience::new();
        loop {
            match self.records(tenure.log).await {
                Ok((commit, own)) => {
                    let (sequence, found) = commit.ok_or(Lost)?;
                    if found.attempt == record.attempt {
                        return Ok(Some(sequence));
                    }
                    let ours = sequence == tenure.commit_sequence && own == tenure.fence;
                    return if ours { Ok(None) } else { Err(Lost) };
                }
                Err(error) => self.ask_again(tenure.log, &error, &mut patience).await,
            }
        }
    }

    /// Whether `output` lies behind the newest record; lost if that is not ours any more.
    pub async fn is_said(&self, tenure: &Tenure, output: &Output) -> Result<bool, Lost> {
        let mut patience = Patience::new();
        loop {
            match self.said_since(tenure).await {
                Ok(said) => return said.map(|mut said| said.take(output)).ok_or(Lost),
                Err(error) => self.ask_again(tenure.log, &error, &mut patience).await,
            }
        }
    }

    async fn ask_again(&self, log: LogId, error: &BusError, patience: &mut Patience) {
        self.register.trouble(format!("reading back log {log}: {error}"));
        patience.wait().await;
    }

    /// What was said since our newest record; none if somebody else wrote one.
    async fn said_since(&self, tenure: &Tenure) -> Result<Option<Said>, BusError> {
        let behind = tenure.commit_sequence;
        let newest = self.records(tenure.log).await?.0.map(|(sequence, _)| sequence);
        if newest != Some(behind) {
            return Ok(None);
        }
        let last = self.bus.state(Stream::Events).await?.last;
        let found = said::find(&self.bus, &self.subjects, tenure.log, behind, last).await?;
        Ok(Some(Said::new(behind, 0, found)))
    }

    /// Newest commit record with its sequence, and the sequence of the own record.
    async fn records(&self, log: LogId) -> Result<(Option<(u64, CommitRecord)>, u64), BusError> {
        let own = self.bus.last(Stream::Events, &self.subjects.own(log)).await?;
        let commit = self.bus.last(Stream::Events, &self.subjects.commit(log)).await?;
        // A record nobody can read was not written by this version: somebody else owns the log.
        let commit = commit.and_then(|message| {
            Some((message.sequence, serde_json::from_slice(&message.payload).ok()?))
        });
        Ok((commit, own.map_or(0, |message| message.sequence)))
    }
}
