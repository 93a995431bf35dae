//! Tells people: takes intents from `ops.notify.>` and delivers each by one of its receiver's channels.
//!
//! What is told to whom, and how often, was decided by the desk. Here it is only carried out, at least once and
//! always under the same keys, and every attempt is published on `ops.status.notify.<receiver>`.
//!
//! One file, one noun: [`notifier`] takes work and acknowledges it, [`delivery`] goes through channels and
//! attempts, [`contacts`] says where they lead at the moment, [`retry`] decides what follows an attempt, [`pacing`] keeps below what providers accept, [`late`]
//! folds what is too old, [`turns`] keeps messages of one incident in order. A channel is a folder of its own
//! ([`email`], [`pager_duty`], [`webhook`]), listed in [`channel`]; what they say is worded in [`wording`].

mod channel;
mod contacts;
mod counters;
mod delivery;
pub mod email;
mod http;
mod key;
mod late;
mod notifier;
mod outbox;
mod pacing;
pub mod pager_duty;
mod retry;
mod status;
mod turns;
pub mod webhook;
pub mod wording;

pub use contacts::{Contacts, ReadAgain, Unsent};
pub use counters::{ChannelCounters, Counters};
pub use notifier::{Notifier, NotifierOptions, NotifyError};
pub use retry::Retry;
