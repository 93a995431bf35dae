//! Keeps the messages of one incident to one receiver in order, although many are in flight.
//!
//! A page that is being retried must not arrive after its own "resolved": it would open the incident again and
//! leave it open.

use std::collections::HashMap;
use tokio::sync::oneshot;

/// Who waits for whom, by the intent's `dedup_key`.
#[derive(Debug, Default)]
pub struct Turns {
    newest: HashMap<String, oneshot::Receiver<()>>,
    sweep_at: usize,
}

/// A place in a row. Dropping it lets the next one go.
#[derive(Debug)]
pub struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _done: oneshot::Sender<()>,
}

impl Turns {
    /// The next place in the row of `key`. Taken in the order messages come from the bus.
    pub fn take(&mut self, key: &str) -> Turn {
        if self.newest.len() >= self.sweep_at {
            self.newest.retain(|_, last| {
                matches!(last.try_recv(), Err(oneshot::error::TryRecvError::Empty))
            });
            self.sweep_at = (self.newest.len() * 2).max(64);
        }
        let (done, over) = oneshot::channel();
        Turn { before: self.newest.insert(key.to_owned(), over), _done: done }
    }
}

impl Turn {
    /// Waits until those before are over.
    pub async fn wait(&mut self) {
        if let Some(before) = self.before.take() {
            // Its other end only ever ends by being dropped.
            let _ = before.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn one_row_goes_in_order_and_rows_do_not_mind_each_other() {
        let mut turns = Turns::default();
        let mut first = turns.take("a");
        let mut second = turns.take("a");
        let mut other = turns.take("b");
        assert!(first.wait().now_or_never().is_some());
        assert!(other.wait().now_or_never().is_some());
        {
            let mut waiting = std::pin::pin!(second.wait());
            assert!(waiting.as_mut().now_or_never().is_none());
            drop(first);
            assert!(waiting.now_or_never().is_some());
        }
    }

    #[test]
    fn finished_rows_are_forgotten() {
        let mut turns = Turns::default();
        for number in 0..1000 {
            drop(turns.take(&number.to_string()));
        }
        assert!(turns.newest.len() <= 64);
    }
}
