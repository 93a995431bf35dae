//! Escalation: who is told next when nobody acknowledges. Its steps are not part of the settings yet, so nobody
//! is; the stage stands behind route because a step adds receivers, and it is cancelled by an acknowledgement.

use crate::desk::incident::Incident;
use crate::settings::Receiver;
use std::sync::Arc;

/// Receivers beyond those of the rule, for an incident that nobody has taken.
pub fn further(_incident: &Incident) -> Vec<Arc<Receiver>> {
    Vec::new()
}
