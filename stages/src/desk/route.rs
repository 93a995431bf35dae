//! Routing: from the names a rule notifies to receivers of the settings in force.
//!
//! A name nobody has goes to the fallback receiver, and a notice says so: settings are checked before they
//! enter the log, so this is a revision that changed under an open incident, never a reason to tell nobody.

use crate::settings::{Receiver, Rule, Settings};
use std::sync::Arc;

/// Who is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Receivers in the rule's order, each once.
    pub receivers: Vec<Arc<Receiver>>,
    /// Names the settings do not know.
    pub unknown: Vec<String>,
}

/// The receivers of `rule`.
pub fn receivers(rule: &Rule, settings: &Settings) -> Route {
    let mut route = Route::default();
    for name in &rule.notify {
        let found = match named(settings, name) {
            Some(receiver) => Some(receiver),
            None => {
                route.unknown.push(name.clone());
                fallback(settings)
            }
        };
        if let Some(receiver) = found
            && !route.receivers.iter().any(|there| there.name == receiver.name)
        {
            route.receivers.push(receiver);
        }
    }
    route
}

/// Who hears of the product's own troubles.
pub fn fallback(settings: &Settings) -> Option<Arc<Receiver>> {
    settings.fallback_receiver.as_deref().and_then(|name| named(settings, name))
}

/// The receiver of this name.
pub fn named(settings: &Settings, name: &str) -> Option<Arc<Receiver>> {
    settings.receivers.iter().find(|receiver| receiver.name == name).cloned()
}
