//! Says when the stream of the shards' logs is nearly full, while there is time to do something about it.
//!
//! A full stream takes no harm by itself: its oldest entries leave it early. But then a recovery, an audit and a replay
//! reach back less far than people think. The owner of the first shard speaks for all.

use crate::keeper::Keeper;
use crate::notices::{LOG_FILLS, notice};
use bus::{Expect, Outgoing};
use stages::log::LogId;

/// Percent of its limit from which on people are told.
const TOLD_AT: u64 = 80;
/// Percent below which it must fall before they are told again: entries leave in blocks, and it goes up and down.
const CALM_BELOW: u64 = 70;

/// Whether people know.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    told: bool,
}

impl Filling {
    /// The percentage people are to be told of, if they are. Of a stream without a limit there is nothing to say.
    fn news(&mut self, (holds, may_hold): (u64, u64)) -> Option<u64> {
        let percent = holds.saturating_mul(100).checked_div(may_hold)?;
        self.told &= percent >= CALM_BELOW;
        (!self.told && percent >= TOLD_AT).then_some(percent)
    }
}

impl Keeper {
    /// Tells people if it is time to.
    pub(crate) async fn tell_filling(&mut self, (holds, may_hold): (u64, u64)) {
        let log = LogId::Shard(0);
        let Some((fence, place)) = self.register.tenure(log) else { return };
        let Some(percent) = self.state.filling.news((holds, may_hold)) else { return };
        let (bus, subjects) = (&self.options.bus, &self.options.subjects);
        let text = format!(
            "the stream of the shards' logs holds {holds} of {may_hold} bytes ({percent} %): when it is full its oldest entries \
             leave it early, and recovery and audit reach back less far; give it more with \
             `nats stream edit OPS_LOG --max-bytes`, or keep it for less long"
        );
        self.register.trouble(text.clone());
        let told = bus.publish(Outgoing {
            expect: Some(Expect { subject: Some(subjects.own(log)), sequence: fence }),
            ..notice(subjects, log, place, LOG_FILLS, text)
        });
        match told.await {
            Ok(_) => self.state.filling.told = true,
            Err(error) => self.register.trouble(format!("telling that the logs fill: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_at_80_percent_and_again_only_after_it_was_below_70() {
        let mut filling = Filling::default();
        let mut seen = Vec::new();
        for holds in [10, 79, 80, 95, 100, 75, 85, 69, 79, 81] {
            if let Some(percent) = filling.news((holds, 100)) {
                seen.push(percent);
                filling.told = true;
            }
        }
        assert_eq!(seen, [80, 81]);
        assert_eq!(filling.news((u64::MAX, 0)), None, "no limit");
    }
}
