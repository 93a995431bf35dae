//! Services that report each call while things die: wave after wave of slow calls, each wave a group of its own.
//!
//! A sample is repeated until it is acknowledged, by the collector (202) or by the bus itself, always under one id.
//! What was acknowledged is written down: it must be in the log.

use crate::dice::Dice;
use crate::house::House;
use crate::support::with_tls;
use bus::{Outgoing, SharedBus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Between two calls of one service.
const CALL_EVERY: Duration = Duration::from_millis(50);
/// Between two tries to get a sample acknowledged, and the longest wait for one.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The services: metric, and whether they publish to the bus themselves.
const SERVICES: [(&str, bool); 8] = [
    ("wave_ms", false),
    ("wave_ms", false),
    ("wave_ms", true),
    ("web_ms", true),
    ("lever_1_ms", false),
    ("lever_2_ms", false),
    ("lever_3_ms", true),
    ("lever_4_ms", false),
];

/// Services at work.
pub struct Services {
    told: Arc<Told>,
    running: JoinSet<()>,
}

struct Told {
    url: String,
    bus: SharedBus,
    ended: AtomicBool,
    acknowledged: Mutex<Vec<String>>,
}

impl Services {
    /// Starts all of them.
    pub async fn start(house: &House, dice: &mut Dice) -> Self {
        with_tls();
        let (url, bus) = (format!("{}/metric", house.collector.url()), house.bus().await);
        let (ended, acknowledged) = (AtomicBool::new(false), Mutex::default());
        let told = Arc::new(Told { url, bus, ended, acknowledged });
        let mut running = JoinSet::new();
        for (number, (metric, direct)) in SERVICES.into_iter().enumerate() {
            let way = if direct { Way::Bus } else { Way::Http(reqwest::Client::new()) };
            let service = Service { told: told.clone(), way, metric, number, calls: 0 };
            running.spawn(service.run(dice.split()));
        }
        Self { told, running }
    }

    /// Lets them end well: the last calls are fast. The ids of all samples that were acknowledged.
    pub async fn end(mut self) -> Vec<String> {
        self.told.ended.store(true, Ordering::SeqCst);
        while let Some(ended) = self.running.join_next().await {
            ended.expect("a service goes on");
        }
        std::mem::take(&mut *self.told.acknowledged.lock().unwrap())
    }
}

enum Way {
    Http(reqwest::Client),
    Bus,
}

struct Service {
    told: Arc<Told>,
    way: Way,
    metric: &'static str,
    number: usize,
    calls: u64,
}

impl Service {
    async fn run(mut self, mut dice: Dice) {
        for wave in 0.. {
            let group = format!("{}-{wave}", self.number);
            self.calls(&group, 100, dice.millis(200, 600)).await;
            self.calls(&group, 1500, dice.millis(1_000, 3_000)).await;
            self.calls(&group, 100, dice.millis(2_500, 4_500)).await;
            if self.told.ended.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    /// Calls that take so long, for a while.
    async fn calls(&mut self, group: &str, value: u64, long: Duration) {
        let mut pace = tokio::time::interval(CALL_EVERY);
        for _ in 0..long.as_millis() / CALL_EVERY.as_millis() {
            pace.tick().await;
            self.calls += 1;
            let (metric, id) = (self.metric, format!("{}-{}", self.number, self.calls));
            let body = format!(
                "{{\"name\":\"{metric}\",\"labels\":{{\"wave\":\"{group}\"}},\"val\":{value},\"id\":\"{id}\"}}"
            );
            while !self.acknowledged(&id, &body).await {
                sleep(AGAIN_AFTER).await;
            }
            self.told.acknowledged.lock().unwrap().push(id);
        }
    }

    async fn acknowledged(&self, id: &str, body: &str) -> bool {
        let said = async {
            match &self.way {
                Way::Http(http) => {
                    let answer = http.post(&self.told.url).body(body.to_owned()).send().await;
                    let status = answer.map(|answer| answer.status().as_u16());
                    assert_ne!(status.as_ref().ok(), Some(&400), "{body}");
                    status.is_ok_and(|status| status == 202)
                }
                Way::Bus => {
                    let message = Outgoing {
                        subject: format!("ops.metric.{}", self.metric),
                        payload: body.to_owned().into(),
                        message_id: Some(format!("call-{id}")),
                        ..Outgoing::default()
                    };
                    self.told.bus.publish(message).await.is_ok()
                }
            }
        };
        tokio::time::timeout(ANSWER_WITHIN, said).await.unwrap_or(false)
    }
}
