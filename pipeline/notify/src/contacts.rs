//! Where channels lead, by which mail server and how fast: what stays at the edge, and may be changed while messages
//! are under way.
//!
//! A message keeps its place and its count of attempts; each attempt goes by what is known by then. So a corrected
//! address helps those that were already waiting, and nothing has to be ended for it.

use crate::channel::{self, Channel, Parts};
use crate::email::Mailer;
use crate::http::Http;
use crate::notifier::NotifyError;
use crate::pacing::Pacer;
use settings::{Endpoint, Endpoints, NotifyConfig};
use stages::wire::Intent;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// What people wrote about telling people.
#[derive(Clone, Debug)]
pub struct Contacts {
    /// Where channels lead, by receiver.
    pub endpoints: Endpoints,
    /// Mail server, sender, pacing.
    pub config: NotifyConfig,
    /// Receiver that hears of what another one's channels all refused (`Settings::fallback_receiver`).
    pub fallback: Option<String>,
    /// Address of the board, for links.
    pub board_url: String,
    /// Older intents become a digest (`Limits::notify_max_age`).
    pub late_after: Duration,
}

/// Kinds of message that are written to the outbox, because nothing is configured that could send them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsent {
    /// No mail server.
    pub mails: bool,
    /// A PagerDuty key whose variable is not set.
    pub pages: bool,
}

impl Contacts {
    /// What would be written to the outbox.
    pub fn unsent(&self) -> Unsent {
        let any =
            |wanted: &dyn Fn(&Endpoint) -> bool| self.endpoints.values().flatten().any(wanted);
        let keyless = |endpoint: &Endpoint| match endpoint {
            Endpoint::PagerDuty { key, .. } => matches!(key.read(), Ok(None)),
            Endpoint::Email { .. } | Endpoint::Webhook { .. } => false,
        };
        let mail = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Email { .. });
        Unsent { mails: self.config.smtp.is_none() && any(&mail), pages: any(&keyless) }
    }
}

/// Reads the contacts again where they are written; why they cannot be used, if so.
pub type ReadAgain = Arc<dyn Fn() -> Result<Contacts, String> + Send + Sync>;

/// Contacts made ready for sending.
pub struct Ways {
    channels: BTreeMap<String, Vec<Arc<dyn Channel>>>,
    /// Who hears of what a receiver's channels all refused.
    pub fallback: Option<String>,
    /// How fast.
    pub pacer: Arc<Pacer>,
    /// Older intents become a digest.
    pub late_after: Duration,
    pacing: settings::Pacing,
}

/// A receiver's channel: the `nth` of its kind, from 0.
#[derive(Clone, Debug)]
pub struct Target {
    pub receiver: String,
    pub kind: String,
    nth: usize,
}

impl Ways {
    fn open(contacts: Contacts, fixed: &Fixed, before: Option<&Self>) -> Result<Self, NotifyError> {
        let Contacts { endpoints, config, fallback, board_url, late_after } = contacts;
        let mailer = match &config.smtp {
            Some(smtp) => Some(Arc::new(Mailer::new(smtp)?)),
            None => None,
        };
        let Fixed { http, outbox } = fixed.clone();
        let parts = Parts { mailer, mail_from: config.from, http, outbox, board_url };
        let open =
            |endpoints: &Vec<_>| endpoints.iter().map(|one| channel::open(one, &parts)).collect();
        let pacing = config.pacing;
        // Full buckets again would let more through than the provider accepts.
        let pacer = match before.filter(|before| before.pacing == pacing) {
            Some(before) => before.pacer.clone(),
            None => Arc::new(Pacer::new(&pacing)),
        };
        let channels = endpoints.iter().map(|(name, all)| (name.clone(), open(all))).collect();
        Ok(Self { channels, fallback, pacer, late_after, pacing })
    }

    /// The intent's kinds of channel, or all that the receiver has where it names none.
    pub fn targets(&self, receiver: &str, kinds: &[String]) -> Vec<Target> {
        let own = self.channels.get(receiver).into_iter().flatten();
        let kinds: Vec<&str> = match kinds {
            [] => own.map(|channel| channel.kind()).collect(),
            kinds => kinds.iter().map(String::as_str).collect(),
        };
        let nth = |at: usize| kinds[..at].iter().filter(|kind| **kind == kinds[at]).count();
        let target = |(at, kind): (usize, &&str)| Target {
            receiver: receiver.to_owned(),
            kind: (*kind).to_owned(),
            nth: nth(at),
        };
        kinds.iter().enumerate().map(target).collect()
    }

    /// The channel a target stands for, if there is an endpoint for it here.
    pub fn channel(&self, target: &Target) -> Option<Arc<dyn Channel>> {
        let own = self.channels.get(&target.receiver).into_iter().flatten();
        own.filter(|channel| channel.kind() == target.kind).nth(target.nth).cloned()
    }

    /// Whether an intent asks for a channel that leads nowhere.
    fn lacks(&self, intent: &Intent) -> bool {
        let targets = self.targets(&intent.receiver, &intent.channels);
        targets.is_empty() || targets.iter().any(|target| self.channel(target).is_none())
    }
}

/// What stays the same whatever is read again.
#[derive(Clone)]
struct Fixed {
    http: Http,
    outbox: Option<PathBuf>,
}

/// The ways there are now.
pub struct Current {
    now: RwLock<Arc<Ways>>,
    fixed: Fixed,
    again: Option<ReadAgain>,
    /// Readings begun so far; one at a time.
    begun: AtomicU64,
    reading: tokio::sync::Mutex<()>,
}

impl Current {
    pub fn new(
        contacts: Contacts,
        outbox: Option<PathBuf>,
        again: Option<ReadAgain>,
    ) -> Result<Self, NotifyError> {
        let fixed = Fixed { http: Http::new().map_err(NotifyError::Http)?, outbox };
        let now = RwLock::new(Arc::new(Ways::open(contacts, &fixed, None)?));
        Ok(Self { now, fixed, again, begun: AtomicU64::new(0), reading: Default::default() })
    }

    /// The ways as they are at the moment.
    pub fn now(&self) -> Arc<Ways> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts others in their place. Refused ones change nothing.
    pub fn replace(&self, contacts: Contacts) -> Result<(), NotifyError> {
        let ways = Ways::open(contacts, &self.fixed, Some(&self.now()))?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ways);
        Ok(())
    }

    /// Makes sure that an intent whose channel leads nowhere meets the files as they are by now: settings may have
    /// been applied since they were read. Many such intents share a reading that began after they came.
    pub async fn look_for(&self, intent: &Intent) {
        let Some(again) = &self.again else { return };
        if !self.now().lacks(intent) {
            return;
        }
        let begun = self.begun.load(Ordering::SeqCst);
        let _one = self.reading.lock().await;
        if self.begun.load(Ordering::SeqCst) > begun {
            return;
        }
        self.begun.fetch_add(1, Ordering::SeqCst);
        let again = again.clone();
        let read = tokio::task::spawn_blocking(move || again()).await;
        let replaced = match read {
            Ok(Ok(contacts)) => self.replace(contacts).map_err(|error| error.to_string()),
            Ok(Err(why)) => Err(why),
            Err(error) => Err(error.to_string()),
        };
        match replaced {
            Ok(()) => tracing::info!(receiver = intent.receiver, "receivers were read again"),
            Err(why) => {
                tracing::error!("receivers cannot be read again; they stay as they were: {why}")
            }
        }
    }
}
