//! How long to wait before the bus is asked again.

use std::time::Duration;

/// First wait: a leader election or a restart is over in a few of these.
const FIRST: Duration = Duration::from_millis(20);
/// Longest wait: what an operator who has just repaired the bus would put up with.
const LONGEST: Duration = Duration::from_secs(1);

/// Doubling waits, bounded.
#[derive(Debug)]
pub(crate) struct Patience(Duration);

impl Patience {
    pub fn new() -> Self {
        Self(FIRST)
    }

    /// Waits, longer each time.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST);
    }

    /// Something went well.
    pub fn renew(&mut self) {
        self.0 = FIRST;
    }
}
