//! Makes the desk's wish to withdraw a command come true, if no agent was faster.
//!
//! Claim and withdrawal are the same create-once record of the ledger, so they exclude each other. A conflict is
//! fine: somebody claimed it, and the ledger, relayed back, says so to the desk.

use crate::patience::Patience;
use bus::{BusError, Expect, Outgoing, SharedBus, Stream, Work, WorkOptions};
use bytes::Bytes;
use stages::subject::Subjects;
use stages::wire::{LedgerRecord, LedgerState, SCHEMA, Withdraw, WithdrawKind};
use std::time::Duration;
use tokio::task::JoinSet;

/// Name of the durable consumer: one for all engines, so that each wish is worked off once.
const NAME: &str = "withdraw";
/// How soon a wish is tried again when the bus did not take it.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Starts the edge as a task.
pub(crate) fn start(bus: &SharedBus, subjects: &Subjects, process: &str, tasks: &mut JoinSet<()>) {
    let edge = Edge { bus: bus.clone(), subjects: subjects.clone(), holder: process.to_owned() };
    tasks.spawn(edge.run());
}

struct Edge {
    bus: SharedBus,
    subjects: Subjects,
    holder: String,
}

impl Edge {
    async fn run(self) {
        let mut patience = Patience::new();
        loop {
            if let Err(error) = self.work(&mut patience).await {
                tracing::warn!(%error, "withdrawals wait");
            }
            patience.wait().await;
        }
    }

    async fn work(&self, patience: &mut Patience) -> Result<(), BusError> {
        let options =
            WorkOptions { ack_wait: Duration::from_secs(30), in_flight_max: 16, only_new: false };
        let filter = self.subjects.of("rollback.*.withdraw");
        let mut worker = self.bus.work(Stream::Events, &filter, NAME, options).await?;
        loop {
            let work = worker.next().await?;
            patience.renew();
            match self.withdraw(&work).await {
                Ok(()) => work.answer.done().await?,
                Err(error) => {
                    tracing::warn!(%error, "a withdrawal waits");
                    work.answer.later(AGAIN_AFTER).await?;
                }
            }
        }
    }

    async fn withdraw(&self, work: &Work) -> Result<(), BusError> {
        let wish: Withdraw = match serde_json::from_slice(&work.message.payload) {
            Ok(wish) => wish,
            Err(error) => {
                tracing::warn!(%error, sequence = work.message.sequence, "not a withdrawal; left out");
                return Ok(());
            }
        };
        let state = match wish.kind {
            WithdrawKind::Cancel => LedgerState::Cancelled,
            WithdrawKind::Expire => LedgerState::Expired,
        };
        let subject = self.subjects.ledger(&wish.plan, &wish.incident);
        let (plan, incident, holder) = (wish.plan, wish.incident, self.holder.clone());
        let record = LedgerRecord { schema: SCHEMA, plan, incident, holder, state };
        let message = Outgoing {
            subject,
            payload: Bytes::from(serde_json::to_vec(&record).expect("wire types serialise")),
            expect: Some(Expect { subject: None, sequence: 0 }),
            ..Outgoing::default()
        };
        match self.bus.publish(message).await {
            Ok(_) | Err(BusError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
