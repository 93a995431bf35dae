//! The scripts that run now, and the wait for the last of them.

use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::watch;

/// How long the end of the last script may take to reach the bus once the agent is to end. What is not told then
/// is told by the next agent.
const TELL_WITHIN: Duration = Duration::from_secs(10);

/// Scripts that run, as people call them: plan and incident.
#[derive(Debug, Default)]
pub struct Scripts {
    names: watch::Sender<BTreeSet<String>>,
}

/// A script that runs for as long as this lives.
#[derive(Debug)]
pub struct RunningScript<'a> {
    scripts: &'a Scripts,
    name: String,
}

impl Scripts {
    /// One more runs.
    pub fn running(&self, plan: &str, incident: &str) -> RunningScript<'_> {
        let name = format!("{plan} of incident {incident}");
        self.names.send_modify(|names| {
            names.insert(name.clone());
        });
        RunningScript { scripts: self, name }
    }

    /// Returns when none has run for as long as it takes to tell how the last one ended. Says whom it waits for.
    pub async fn all_told(&self) {
        let mut names = self.names.subscribe();
        loop {
            let now: Vec<String> = names.borrow_and_update().iter().cloned().collect();
            if now.is_empty() {
                match tokio::time::timeout(TELL_WITHIN, names.changed()).await {
                    Ok(_) => continue,
                    Err(_) => return,
                }
            }
            tracing::warn!("waiting for the script of rollback {}", now.join(", "));
            if names.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for RunningScript<'_> {
    fn drop(&mut self) {
        self.scripts.names.send_modify(|names| {
            names.remove(&self.name);
        });
    }
}
