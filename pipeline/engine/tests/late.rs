//! The truth, an hour late: an engine that was down says what happened, but does not act on it as if it were new.

mod support;

use bus::layout::Layout;
use bus::memory::MemoryBus;
use bus::{SharedBus, Stream};
use engine::Engine;
use serde::de::DeserializeOwned;
use stages::time::{Span, Time};
use stages::wire::{AlertState, Forbidden, Intent, Reason, RollbackEvent, RollbackState};
use std::sync::Arc;
use std::time::Duration;
use support::*;

const BEGIN: Time = Time::from_millis(1_794_819_600_000);

struct Hour {
    memory: MemoryBus,
    bus: SharedBus,
    now: Time,
}

impl Hour {
    /// Calls that take so long, one a second.
    async fn calls(&mut self, count: u32, value: f64) {
        for _ in 0..count {
            self.pass(Span::from_secs(1));
            sample(&*self.bus, METRIC, value).await;
        }
    }

    fn pass(&mut self, span: Span) {
        self.now = self.now.plus(span);
        self.memory.set_time(self.now);
    }

    fn said<T: DeserializeOwned>(&self, prefix: &str) -> Vec<T> {
        let messages = self.memory.messages(Stream::Events);
        let of_it =
            messages.iter().filter(|message| message.subject.starts_with(prefix.as_bytes()));
        of_it.map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breach_of_an_hour_ago_is_told_as_such_and_rolls_nothing_back() {
    let memory = MemoryBus::manual_time(Layout::default(), BEGIN);
    let bus: SharedBus = Arc::new(memory.clone());
    bus.ensure(1).await.unwrap();
    let mut hour = Hour { memory, bus: bus.clone(), now: BEGIN };
    let engine = start(&bus, 1, "ops-1").await;
    hour.calls(20, 110.0).await;
    engine.shutdown(PATIENCE).await;

    hour.calls(240, 1500.0).await;
    hour.pass(Span::from_secs(3_000));
    hour.calls(300, 110.0).await;
    let engine = Engine::start(options(&bus, 1, "ops-1")).unwrap();
    owns_all(&engine).await;
    let alerts = alerts_until(&bus, AlertState::Resolved).await;
    hour.pass(Span::from_secs(600));
    hour.calls(1, 110.0).await;
    let digests = async {
        loop {
            let told: Vec<Intent> = hour.said("ops.notify.");
            match told.iter().any(|intent| intent.reason == Reason::Digest) {
                true => return told,
                false => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let told = within("the digest", digests).await;
    engine.shutdown(PATIENCE).await;

    let fired: Vec<_> = alerts.iter().filter(|alert| alert.state == AlertState::Fired).collect();
    let [fired] = fired[..] else { panic!("{alerts:#?}") };
    assert_eq!(fired.folded, ["oncall@opm.gov"]);
    let rollbacks: Vec<RollbackEvent> = hour.said("ops.rollback.");
    let [only] = &rollbacks[..] else { panic!("{rollbacks:#?}") };
    assert_eq!((only.state, only.why), (RollbackState::Suppressed, Some(Forbidden::Stale)));
    // What is over by now is told by itself, what began then only in the digest.
    let reasons: Vec<Reason> = told.iter().map(|intent| intent.reason).collect();
    assert_eq!(reasons, [Reason::Resolved, Reason::Digest], "{told:#?}");
    let folded = &told[1].folded;
    let late = folded.iter().filter(|line| line.summary.contains("happened while down"));
    assert_eq!(late.count(), 1, "{folded:#?}");
}
