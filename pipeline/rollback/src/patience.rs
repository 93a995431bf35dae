//! Asks the bus again until it answers: a rollback in flight has nothing better to do than to wait for it.

use bus::BusError;
use std::future::Future;
use std::time::Duration;

/// First wait between two tries, doubled each time up to [`WAIT_MAX`].
const WAIT_MIN: Duration = Duration::from_millis(50);
/// Longest wait: an election of the bus's servers takes a few seconds.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Repeats `ask` until it succeeds or conflicts. Only for what may be repeated: reads, publishing under a
/// message id, and compare-and-set whose conflict the caller reads back.
///
/// # Errors
/// [`BusError::Conflict`] and [`BusError::Invalid`]: asking again would not change them.
pub async fn until_answered<T, F: Future<Output = Result<T, BusError>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> Result<T, BusError> {
    let mut wait = WAIT_MIN;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error @ (BusError::Conflict { .. } | BusError::Invalid(_))) => return Err(error),
            Err(error) => tracing::warn!(%error, "{what}: asking the bus again"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}
