//! Whole streams out of a server and into one, as the server itself copies them: every message with its sequence and
//! time, and the consumers with what they have acked.
//!
//! What the server does not keep is when the stream was created, which incidents are named after: a copy carries it in
//! the stream's metadata, where [`creation`] looks first.

use super::link::{Failure, Link, read_answer};
use super::streams::{STREAM_NOT_FOUND, copies};
use super::{InfoAnswer, JetStream};
use crate::layout::SPECS;
use crate::{BusError, Stream};
use bytes::Bytes;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stages::time::Time;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Metadata of a copied stream: when its original was created.
const CREATED: &str = "hms-ops.created";
/// Bytes of a chunk on the way, well below what a server takes in a message.
const CHUNK_BYTES: usize = 128 << 10;
/// Longest wait for the next chunk; the server reads one block of the stream meanwhile.
const CHUNK_WAIT: Duration = Duration::from_secs(30);
/// Longest wait for a server to put a stream together from its copy.
const TOGETHER_WAIT: Duration = Duration::from_secs(600);

/// What a copy of a stream is a copy of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copied {
    /// The stream's configuration, in the server's words.
    pub config: Value,
    /// Its bounds and counts, in the server's words.
    pub state: Value,
    /// When the original was created.
    pub created: Time,
}

impl Copied {
    /// Last sequence in the copy.
    pub fn last(&self) -> u64 {
        self.state["last_seq"].as_u64().unwrap_or(0)
    }

    /// Messages in the copy.
    pub fn messages(&self) -> u64 {
        self.state["messages"].as_u64().unwrap_or(0)
    }
}

/// When the stream's sequences began: of a copy, when its original's did.
pub(super) fn creation(info: &InfoAnswer) -> Time {
    let told = info.config.metadata.as_ref().and_then(|metadata| metadata.get(CREATED));
    told.and_then(|told| serde_json::from_value(told.clone()).ok()).unwrap_or(info.created)
}

impl JetStream {
    /// Copies a stream into `to`. Messages that are stored meanwhile may be in it.
    ///
    /// # Errors
    /// The server does not answer, may not be asked, or breaks off; or `to` cannot be written.
    pub async fn copy_out(
        &self,
        stream: Stream,
        to: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<Copied, BusError> {
        copy_out(&self.link, &self.name(stream), to).await
    }

    /// Makes a stream from its copy. It must not be there; its number of replicas is this connection's.
    ///
    /// # Errors
    /// The stream is there, `from` cannot be read, or the server does not take it.
    pub async fn copy_in(
        &self,
        stream: Stream,
        copied: &Copied,
        from: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<(), BusError> {
        copy_in(&self.link, &self.name(stream), copied, from).await
    }

    /// Those of the product's streams that are there.
    ///
    /// # Errors
    /// The server does not answer, or may not be asked.
    pub async fn present(&self) -> Result<Vec<Stream>, BusError> {
        let mut found = Vec::new();
        for spec in &SPECS {
            let name = self.name(spec.stream);
            match self.link.api::<Value>(&format!("STREAM.INFO.{name}"), &Value::Null).await {
                Ok(_) => found.push(spec.stream),
                Err(Failure::Refused { code: STREAM_NOT_FOUND, .. }) => {}
                Err(failure) => return Err(failure.of_read(&format!("look at stream {name}"))),
            }
        }
        Ok(found)
    }

    /// Deletes a stream with all it holds.
    ///
    /// # Errors
    /// The server does not answer, or may not be asked.
    pub async fn delete(&self, stream: Stream) -> Result<(), BusError> {
        let name = self.name(stream);
        let call = format!("STREAM.DELETE.{name}");
        let deleted = self.link.api::<Value>(&call, &Value::Null).await;
        deleted.map(|_| ()).map_err(|failure| failure.of_read(&format!("delete stream {name}")))
    }
}

#[derive(Deserialize)]
struct Snapshot {
    config: Value,
    state: Value,
}

async fn copy_out(
    link: &Link,
    name: &str,
    to: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<Copied, BusError> {
    let failed = |failure: Failure| failure.of_read(&format!("copy stream {name}"));
    let unwritten = |error: std::io::Error| {
        BusError::Invalid(format!("the copy of stream {name} cannot be written: {error}"))
    };
    let info = link.api::<InfoAnswer>(&format!("STREAM.INFO.{name}"), &Value::Null).await;
    let created = creation(&info.map_err(failed)?);
    let inbox = link.client.new_inbox();
    let subscribed = link.client.subscribe(inbox.clone()).await;
    let mut chunks = subscribed.map_err(|_| failed(Failure::Unreachable("not connected")))?;
    let body =
        json!({ "deliver_subject": inbox, "no_consumers": false, "chunk_size": CHUNK_BYTES });
    let snapshot = link.api::<Snapshot>(&format!("STREAM.SNAPSHOT.{name}"), &body).await;
    let Snapshot { config, state } = snapshot.map_err(failed)?;
    loop {
        let chunk = tokio::time::timeout(CHUNK_WAIT, chunks.next()).await;
        let Ok(Some(chunk)) = chunk else { return Err(failed(Failure::Silent)) };
        if chunk.payload.is_empty() {
            // The end. Without a status, where one chunk held all, or 204: complete (2.15.1); else broken off.
            let status = chunk.status.map(|status| u64::from(status.as_u16()));
            if let Some(code) = status.filter(|code| *code != 204) {
                let why = chunk.description.unwrap_or_else(|| "it says not why".to_owned());
                let text = format!("the server broke off: {why} ({code})");
                return Err(failed(Failure::Refused { code, text }));
            }
            break;
        }
        to.write_all(&chunk.payload).await.map_err(unwritten)?;
        if let Some(reply) = chunk.reply {
            // An ack that is lost makes the server stop, which shows above.
            let _ = link.client.publish(reply, Bytes::new()).await;
        }
    }
    to.flush().await.map_err(unwritten)?;
    Ok(Copied { config, state, created })
}

#[derive(Deserialize)]
struct Restoring {
    deliver_subject: String,
}

async fn copy_in(
    link: &Link,
    name: &str,
    copied: &Copied,
    from: &mut (dyn AsyncRead + Send + Unpin),
) -> Result<(), BusError> {
    let failed = |failure: Failure| failure.of_read(&format!("restore stream {name}"));
    let mut config = copied.config.clone();
    config["name"] = json!(name);
    config["num_replicas"] = json!(copies(link));
    config["metadata"][CREATED] = json!(copied.created);
    let body = json!({ "config": config, "state": copied.state });
    let restoring = link.api::<Restoring>(&format!("STREAM.RESTORE.{name}"), &body).await;
    let to = restoring.map_err(failed)?.deliver_subject;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let mut filled = 0;
        while filled < chunk.len() {
            let read = from.read(&mut chunk[filled..]).await;
            match read.map_err(|error| {
                BusError::Invalid(format!("the copy of stream {name} cannot be read: {error}"))
            })? {
                0 => break,
                read => filled += read,
            }
        }
        if filled == 0 {
            break;
        }
        // Each chunk is acked with nothing, or with what is wrong.
        let payload = Bytes::copy_from_slice(&chunk[..filled]);
        let ack = link.request(&to, None, payload).await.map_err(failed)?;
        if !ack.payload.is_empty() {
            read_answer::<Value>(&ack.payload).map_err(failed)?;
        }
    }
    let end = link.request_within(&to, None, Bytes::new(), TOGETHER_WAIT).await.map_err(failed)?;
    let made: Value = read_answer(&end.payload).map_err(failed)?;
    let (is, want) = (&made["state"]["last_seq"], &copied.state["last_seq"]);
    if is != want {
        let text = format!("it ends at {is}, and its copy at {want}");
        return Err(failed(Failure::Refused { code: 0, text }));
    }
    Ok(())
}
