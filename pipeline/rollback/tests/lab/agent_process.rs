//! An agent as a process of its own, for the test that kills one.
//!
//! `agent_under_test <url> <nkey seed file> <inbox prefix> <folder> <name>`; plans, data and journal lie in the folder.

use bus::accounts::Role;
use bus::jetstream::{Credentials, JetStream, Options};
use rollback::{Agent, AgentOptions, Limits};
use stages::subject::Subjects;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [url, seed, inbox, folder, name] = words.try_into().map_err(|_| "five words, see above")?;
    let mut options = Options::new(url);
    options.credentials = Credentials::NkeySeed(PathBuf::from(seed));
    options.inbox_prefix = inbox;
    options.scoped_reads = true;
    options.api_prefix = Role::Agent.api_prefix().to_owned();
    let folder = PathBuf::from(folder);
    let _agent = Agent::start(AgentOptions {
        bus: Arc::new(JetStream::connect(options).await?),
        subjects: Subjects::default(),
        plans_dir: folder.join("plans"),
        data_dir: folder.join("data"),
        journal: folder.join(format!("{name}.journal")),
        name,
        limits: Limits { ack_wait: Duration::from_secs(2), ..Limits::default() },
    })
    .await?;
    std::future::pending().await
}
