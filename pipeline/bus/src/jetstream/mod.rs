//! The bus for real: NATS JetStream.
//!
//! The JetStream API is spoken directly, in its JSON, over the core client: every call then fails fast when
//! the server refuses the subject, and nothing is done per message that is not needed.

mod ack_subject;
mod copies;
mod link;
mod options;
mod reader;
mod shelf;
mod streams;
mod work;
mod write;

pub use copies::Copied;
pub use options::{API_PREFIX, Credentials, Limits, Options, Secret, Tls};

use crate::memory::{check_batch, check_subject};
use crate::{
    Bus, BusError, Message, Outgoing, Reader, Stored, Stream, StreamState, WorkOptions, Worker,
};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use link::{Failure, Link};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stages::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use streams::STREAM_NOT_FOUND;

/// The server's code for a subject without messages.
const NO_MESSAGE_FOUND: u64 = 10_037;

/// A connection to JetStream. Clones share it.
#[derive(Clone)]
pub struct JetStream {
    link: Arc<Link>,
}

impl JetStream {
    /// Connects, or says why not.
    ///
    /// # Errors
    /// [`BusError::Connect`]: unreachable, or refused for its credentials.
    pub async fn connect(options: Options) -> Result<Self, BusError> {
        Ok(Self { link: Arc::new(Link::connect(options).await?) })
    }

    fn name(&self, stream: Stream) -> String {
        self.link.options.layout.stream_name(stream)
    }

    async fn last_from_leader(
        &self,
        name: &str,
        subject: &str,
    ) -> Result<Option<Message>, Failure> {
        let body = json!({ "last_by_subj": subject });
        match self.link.api::<GetAnswer>(&format!("STREAM.MSG.GET.{name}"), &body).await {
            Ok(answer) => answer.message.read().map(Some),
            Err(Failure::Refused { code: NO_MESSAGE_FOUND, .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn last_scoped(&self, name: &str, subject: &str) -> Result<Option<Message>, Failure> {
        let call = self.link.api_subject(&format!("DIRECT.GET.{name}.{subject}"));
        read_direct(self.link.request(&call, None, Bytes::new()).await?)
    }
}

#[async_trait]
impl Bus for JetStream {
    async fn ensure(&self, shards: u32) -> Result<(), BusError> {
        streams::ensure(&self.link, shards).await
    }

    async fn publish(&self, message: Outgoing) -> Result<Stored, BusError> {
        check_subject(&message.subject)?;
        write::publish(&self.link, message).await
    }

    async fn commit(&self, batch: Vec<Outgoing>) -> Result<u64, BusError> {
        check_batch(&batch)?;
        write::commit(&self.link, batch).await
    }

    async fn last(&self, stream: Stream, subject: &str) -> Result<Option<Message>, BusError> {
        let name = self.name(stream);
        let found = if self.link.options.scoped_reads {
            self.last_scoped(&name, subject).await
        } else {
            self.last_from_leader(&name, subject).await
        };
        found.map_err(|failure| failure.of_read(&format!("read the last of {subject}")))
    }

    async fn subjects(&self, stream: Stream, filter: &str) -> Result<Vec<String>, BusError> {
        let name = self.name(stream);
        let body = json!({ "subjects_filter": filter });
        let info = self.link.api::<InfoAnswer>(&format!("STREAM.INFO.{name}"), &body).await;
        let info = info.map_err(|failure| failure.of_read(&format!("list subjects of {name}")))?;
        Ok(info.state.subjects.unwrap_or_default().into_keys().collect())
    }

    async fn state(&self, stream: Stream) -> Result<StreamState, BusError> {
        let name = self.name(stream);
        let info: InfoAnswer =
            self.link.api(&format!("STREAM.INFO.{name}"), &Value::Null).await.map_err(
                |failure| match failure {
                    Failure::Refused { code: STREAM_NOT_FOUND, .. } => {
                        BusError::Gone { stream: name.clone() }
                    }
                    other => other.of_read(&format!("look at stream {name}")),
                },
            )?;
        let last = info.state.last_seq;
        let first = if info.state.messages == 0 { last + 1 } else { info.state.first_seq };
        let bytes_max = u64::try_from(info.config.max_bytes).unwrap_or(0);
        Ok(StreamState {
            first,
            last,
            created: copies::creation(&info),
            bytes: (info.state.bytes, bytes_max),
        })
    }

    async fn first_at(&self, stream: Stream, time: Time) -> Result<u64, BusError> {
        let name = self.name(stream);
        let body = json!({ "start_time": time, "next_by_subj": ">", "batch": 1 });
        let call = self.link.api_subject(&format!("DIRECT.GET.{name}"));
        let answer = self.link.request(&call, None, body.to_string().into()).await;
        let found = answer.and_then(read_direct);
        match found.map_err(|failure| failure.of_read(&format!("search {name} by time")))? {
            Some(message) => Ok(message.sequence),
            None => self.state(stream).await.map(|state| state.last + 1),
        }
    }

    async fn read(
        &self,
        stream: Stream,
        filter: Option<&str>,
        from: u64,
    ) -> Result<Box<dyn Reader>, BusError> {
        let (link, name) = (Arc::clone(&self.link), self.name(stream));
        Ok(Box::new(reader::JetStreamReader::open(link, name, filter, from).await?))
    }

    async fn work(
        &self,
        stream: Stream,
        filter: &str,
        name: &str,
        options: WorkOptions,
    ) -> Result<Box<dyn Worker>, BusError> {
        let (link, stream) = (Arc::clone(&self.link), self.name(stream));
        Ok(Box::new(work::JetStreamWorker::open(link, stream, filter, name, options).await?))
    }

    async fn purge(&self, stream: Stream, subject: &str, keep: u64) -> Result<(), BusError> {
        let name = self.name(stream);
        let mut body = json!({ "filter": subject });
        if keep > 0 {
            body["keep"] = json!(keep);
        }
        let purged = self.link.api::<Value>(&format!("STREAM.PURGE.{name}"), &body).await;
        purged.map(|_| ()).map_err(|failure| failure.of_read(&format!("purge {subject}")))
    }

    fn connected(&self) -> bool {
        self.link.connected()
    }
}

#[derive(Deserialize)]
struct InfoAnswer {
    created: Time,
    state: InfoState,
    config: InfoConfig,
}

#[derive(Deserialize)]
struct InfoState {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    /// How many messages each has, where that was asked for.
    #[serde(default)]
    subjects: Option<BTreeMap<String, u64>>,
}

#[derive(Deserialize)]
struct InfoConfig {
    max_bytes: i64,
    metadata: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct GetAnswer {
    message: GetMessage,
}

#[derive(Deserialize)]
struct GetMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    data: String,
    time: Time,
}

impl GetMessage {
    fn read(self) -> Result<Message, Failure> {
        let garbled = |error: base64::DecodeError| Failure::Refused {
            code: 0,
            text: format!("a payload that is not base64: {error}"),
        };
        Ok(Message {
            subject: self.subject.into(),
            sequence: self.seq,
            time: self.time,
            payload: STANDARD.decode(self.data).map_err(garbled)?.into(),
        })
    }
}

/// Reads an answer that is the stored message itself, with its place in headers.
fn read_direct(answer: async_nats::Message) -> Result<Option<Message>, Failure> {
    if let Some(status) = answer.status {
        let text = answer.description.unwrap_or_default();
        return match status.as_u16() {
            404 => Ok(None),
            code => Err(Failure::Refused { code: u64::from(code), text }),
        };
    }
    let header =
        |name: &str| answer.headers.as_ref()?.get(name).map(|value| value.as_str().to_owned());
    let place = || {
        let sequence = header("Nats-Sequence")?.parse().ok()?;
        let time = serde_json::from_value(Value::String(header("Nats-Time-Stamp")?)).ok()?;
        Some((header("Nats-Subject")?, sequence, time))
    };
    let Some((subject, sequence, time)) = place() else {
        let text = "an answer without its place".to_owned();
        return Err(Failure::Refused { code: 0, text });
    };
    Ok(Some(Message { subject: subject.into(), sequence, time, payload: answer.payload }))
}
