//! How the alerts of a rule the desk judges stand, for whoever asks why.

use super::Group;
use super::evaluate::Moment;
use crate::desk::Desk;
use crate::settings::Rule;
use crate::shard::Standing;
use crate::time::Time;
use std::sync::Arc;

impl Desk {
    /// The rule of this name in force, and how its alerts stand at `now` by what shards showed last; none of a rule that
    /// a shard judges.
    pub fn standing(&self, rule: &str, now: Time) -> Option<(Arc<Rule>, Vec<Standing>)> {
        let rule = Arc::clone(self.state.settings.rule(rule)?);
        let apart = &self.state.apart;
        let Some(judged) = apart.rules.get(&rule.name) else { return Some((rule, Vec::new())) };
        let mut all = Vec::with_capacity(judged.groups.len());
        for (text, Group { alert, armed }) in &judged.groups {
            let moment = Moment { shards: &apart.shards, now };
            let Some(looks) = judged.view.look(&rule, (text, *armed), moment) else { continue };
            all.push(Standing::of(alert, text, looks.last(), looks.evidence(now)));
        }
        Some((rule, all))
    }
}
