//! Agents whose answers come from copies of a stream that lag.

#![allow(clippy::unwrap_used)]

mod lab;

use bus::layout::Layout;
use bus::memory::{Faults, MemoryBus};
use bus::{Outgoing, Stream};
use lab::Lab;
use stages::wire::{LedgerState, RollbackState};
use std::sync::Arc;

/// After each write of the ledger the next few answers are from before it.
#[derive(Default)]
struct Lagging {
    old_answers: u32,
}

impl Faults for Lagging {
    fn write(&mut self, batch: &[Outgoing]) -> bus::memory::WriteFault {
        if batch[0].subject.starts_with("ops.exec.") {
            self.old_answers = 3;
        }
        bus::memory::WriteFault::None
    }

    fn lags(&mut self, stream: Stream, _: &str) -> u64 {
        let lags = stream == Stream::Outcomes && self.old_answers > 0;
        self.old_answers = self.old_answers.saturating_sub(1);
        u64::from(lags)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_read_from_a_copy_that_lags_ends_like_any_other() {
    let bus = MemoryBus::real_time(Layout::default());
    bus.set_faults(Lagging::default());
    let lab = Lab::on(Arc::new(bus.clone())).await;
    lab.script("run.sh", "#!/bin/sh\necho run >> \"$OPS_DATA/starts\"\n", 0o755);
    let agent = lab.agent("a1").await;
    for incident in ["i1", "i2"] {
        lab.order(&lab.command(incident)).await;
        let outcome = lab.end(incident).await;
        assert_eq!(outcome.state, RollbackState::Succeeded, "{outcome:?}");
    }
    agent.shutdown().await;
    let starts = std::fs::read_to_string(lab.data("starts")).unwrap();
    assert_eq!(starts.lines().count(), 2, "each ran once");
    assert_eq!(lab.count(Stream::Outcomes, "ops.exec.").await, 6, "claimed, started, ended");
    let record = lab.ledger("PLAN", "i2").await.unwrap();
    assert!(matches!(record.state, LedgerState::Ended { .. }), "{record:?}");
}
