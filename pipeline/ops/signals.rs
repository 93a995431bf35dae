//! What the operator says to a running process.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals we listen for, from the start to the end: one that comes while another is obeyed is not missed.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

impl Signals {
    /// Listens; from here on none of them ends the process by itself.
    pub fn listen() -> Self {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [terminate, interrupt, hangup] =
            kinds.map(|kind| signal(kind).expect("signals can be listened for"));
        Self { terminate, interrupt, hangup }
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Said {
        tokio::select! {
            _ = self.terminate.recv() => Said::Stop,
            _ = self.interrupt.recv() => Said::Stop,
            _ = self.hangup.recv() => Said::Reload,
        }
    }

    /// Waits until we are told to stop.
    pub async fn stop(&mut self) {
        while self.next().await != Said::Stop {}
    }
}
