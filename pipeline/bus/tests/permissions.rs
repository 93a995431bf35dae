//! Who may do what on a real server with generated accounts, as one table, both ways.
//!
//! The JetStream calls are made bare, so that the table speaks of the server and not of what our client would
//! do: a refused subject is answered by an error text that names it, an allowed one by an answer or by nothing.

use async_nats::{Client, ConnectOptions, Event};
use bus::accounts::{Keys, Role};
use bus::jetstream::JetStream;
use bus::layout::Layout;
use bus::server::{LocalServer, ServerOptions};
use bus::{Bus, BusError, Outgoing, Stream};
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::mpsc;

/// A server with all streams, one durable consumer of an agent, and a message in each stream that matters.
struct Site {
    server: LocalServer,
    keys: Keys,
    _data: tempfile::TempDir,
}

async fn site() -> Site {
    let data = tempfile::tempdir().unwrap();
    let options = ServerOptions {
        data: data.path().to_owned(),
        port: None,
        layout: Layout::default(),
        agent: "host1".to_owned(),
    };
    let server = LocalServer::start(options).await.unwrap();
    let admin = JetStream::connect(server.options(Role::Admin)).await.unwrap();
    admin.ensure(1).await.unwrap();
    let keys = Keys::open(data.path().join("nats/keys")).unwrap();
    Site { server, keys, _data: data }
}

/// A bare connection, and what the server refuses it.
struct Caller {
    client: Client,
    refused: mpsc::UnboundedReceiver<String>,
}

impl Site {
    /// In a role, or as nobody.
    async fn caller(&self, role: Option<Role>) -> Caller {
        let (tell, refused) = mpsc::unbounded_channel();
        let mut options = ConnectOptions::new().event_callback(move |event| {
            let tell = tell.clone();
            async move {
                if let Event::ServerError(error) = event {
                    let _ = tell.send(error.to_string());
                }
            }
        });
        if let Some(role) = role {
            let seed = std::fs::read_to_string(self.keys.seed_file(role)).unwrap();
            options = options.nkey(seed).custom_inbox_prefix(role.inbox_prefix());
        }
        Caller { client: options.connect(self.server.url()).await.unwrap(), refused }
    }
}

impl Caller {
    /// The server handles a connection's lines in order, so what it has to say of a line is here after a flush
    /// and a marker: a subject nobody may publish to.
    async fn refuses(&mut self, what: &str) -> bool {
        self.client.publish("nobody.may", Bytes::new()).await.unwrap();
        let quoted = format!("\"{what}\"");
        let mut refused = false;
        loop {
            let text = tokio::time::timeout(Duration::from_secs(20), self.refused.recv());
            let text = text.await.expect("the marker is refused").unwrap();
            refused |= text.contains(&quoted);
            if text.contains("\"nobody.may\"") {
                return refused;
            }
        }
    }

    async fn may_publish(&mut self, subject: &str) -> bool {
        self.client.publish(subject.to_owned(), Bytes::new()).await.unwrap();
        !self.refuses(subject).await
    }

    async fn may_hear(&mut self, subject: &str) -> bool {
        let _heard = self.client.subscribe(subject.to_owned()).await.unwrap();
        !self.refuses(subject).await
    }
}

/// One row: `+` what the role may, `-` what it may not. `>` in front means hearing, else saying.
struct Row {
    role: Option<Role>,
    may: &'static [&'static str],
    may_not: &'static [&'static str],
}

/// What nobody but the admin may do, whatever the role.
const NOBODY: &[&str] = &[
    "ops.desk.settings",
    "$JS.API.STREAM.DELETE.OPS_EVENTS",
    "$JS.API.STREAM.UPDATE.OPS_EVENTS",
    "$JS.API.STREAM.CREATE.OPS_MINE",
    "$JS.API.STREAM.PURGE.OPS_LOG",
    "$JS.API.STREAM.PURGE.OPS_OUTCOMES",
    "$JS.API.STREAM.MSG.DELETE.OPS_EVENTS",
    "$JS.API.STREAM.RESTORE.OPS_EVENTS",
    "$JS.API.STREAM.SNAPSHOT.OPS_EVENTS",
    "$JS.API.CONSUMER.CREATE.OPS_EVENTS",
    "$JS.API.CONSUMER.DURABLE.CREATE.OPS_EVENTS.mine",
    "$JS.API.CONSUMER.PAUSE.OPS_EVENTS.agent-host1",
    "$JS.API.CONSUMER.DELETE.OPS_EVENTS.agent-host1",
    "$JS.API.CONSUMER.DELETE.OPS_EVENTS.notifier",
    "$SYS.REQ.SERVER.PING",
    "$JS.API.ACCOUNT.PURGE.OPS",
    ">$SYS.>",
    "> >",
    ">ops.>",
    ">_INBOX_someone.>",
    ">$JS.>",
];

/// What only the engine may say, and how others might try to read or write around it.
const ENGINES: &[&str] = &[
    "ops.log.0.settings",
    "ops.log.0.verify",
    "ops.desk.tick",
    "ops.desk.transition.0",
    "ops.desk.outcome.status.rollback.P",
    "ops.transition.0",
    "ops.request.0",
    "ops.alert.critical.r.firing",
    "ops.notify.oncall",
    "ops.rollback.P.command",
    "ops.rollback.P.withdraw",
    "ops.commit.0",
    "ops.own.desk",
    "ops.state.0.1.0",
    "ops.rollup.1s.0",
    "$JS.API.STREAM.PURGE.OPS_STATE",
    "$JS.API.STREAM.PURGE.OPS_EVENTS",
    "$JS.API.CONSUMER.MSG.NEXT.OPS_EVENTS.withdraw",
    "$JS.API.CONSUMER.CREATE.OPS_EVENTS.withdraw.ops.rollback.*.withdraw",
    "$JS.ACK.OPS_EVENTS.withdraw.1.1.1.1.0",
    ">_INBOX_owner.>",
];

/// What a role without consumers of its own has no business with.
const READING: &[&str] = &[
    "$JS.API.CONSUMER.CREATE.OPS_LOG.mine",
    "$JS.API.CONSUMER.CREATE.OPS_EVENTS.mine.ops.alert.>",
    "$JS.API.CONSUMER.CREATE.OPS_EVENTS.agent-host1.ops.notify.>",
    "$JS.API.CONSUMER.MSG.NEXT.OPS_EVENTS.mine",
    "$JS.API.STREAM.MSG.GET.OPS_DESK",
    "$JS.API.STREAM.NAMES",
    "$JS.API.DIRECT.GET.OPS_STATE.ops.state.0.1.0",
    "$JS.API.DIRECT.GET.OPS_LOG",
    ">_INBOX_board.>",
    ">_INBOX_admin.>",
];

const AGENTS: &[&str] = &[
    "ops.exec.P.incident",
    "ops.status.rollback.P",
    "$JS.API.CONSUMER.MSG.NEXT.OPS_EVENTS.agent-host1",
    "$JS.API.CONSUMER.CREATE.OPS_EVENTS.agent-host1.ops.rollback.*.command",
    "$JS.ACK.OPS_EVENTS.agent-host1.1.1.1.1.0",
];

const NOTIFIERS: &[&str] = &[
    "ops.status.notify.oncall",
    "$JS.API.CONSUMER.MSG.NEXT.OPS_EVENTS.notifier",
    "$JS.API.CONSUMER.CREATE.OPS_EVENTS.notifier.ops.notify.>",
    "$JS.ACK.OPS_EVENTS.notifier.1.1.1.1.0",
];

const PEOPLES: &[&str] =
    &["ops.desk.ack.anna", "ops.desk.approve.anna", "ops.desk.freeze.anna", "ops.desk.unlock.anna"];
const COLLECTORS: &[&str] = &["ops.log.0.batch", "ops.log.0.tick", "ops.deadletter.bad_ts"];

/// How a role calls the API.
fn called(role: Option<Role>, case: &str) -> String {
    let prefix = role.unwrap_or(Role::Publisher).api_prefix();
    case.strip_prefix("$JS.API").map_or_else(|| case.to_owned(), |call| format!("{prefix}{call}"))
}

const SERVICE: Row = Row {
    role: Some(Role::Publisher),
    may: &["ops.metric.a", "ops.metric.a.b", ">ops.alert.>", ">_INBOX.x.>"],
    may_not: &["ops.alive.p", "ops.log.0.metric.a", "ops.desk.change.x", ">ops.rollback.>"],
};

#[allow(clippy::too_many_lines, reason = "a table reads best in one piece")]
fn table() -> Vec<(Row, Vec<&'static [&'static str]>)> {
    vec![
        (
            Row { role: None, ..SERVICE },
            vec![ENGINES, READING, AGENTS, NOTIFIERS, PEOPLES, COLLECTORS],
        ),
        (SERVICE, vec![ENGINES, READING, AGENTS, NOTIFIERS, PEOPLES, COLLECTORS]),
        (
            Row {
                role: Some(Role::Reader),
                may: &[">ops.alert.>", "$JS.API.DIRECT.GET.OPS_EVENTS.ops.alert.a.b.c"],
                may_not: &["ops.metric.a", ">ops.rollback.>", "$JS.API.DIRECT.GET.OPS_EVENTS"],
            },
            vec![ENGINES, READING, AGENTS, NOTIFIERS, PEOPLES, COLLECTORS],
        ),
        (
            Row {
                role: Some(Role::Person),
                may: &[
                    "ops.desk.ack.anna",
                    "ops.desk.close.bob",
                    "ops.desk.unlock.anna",
                    ">ops.rollback.>",
                    ">ops.alert.>",
                ],
                may_not: &["ops.metric.a", "ops.desk.change.x", "ops.desk.ack.a.b"],
            },
            vec![ENGINES, READING, AGENTS, NOTIFIERS, COLLECTORS],
        ),
        (
            Row {
                role: Some(Role::Agent),
                may: &[
                    "ops.alive.p",
                    "ops.desk.change.x",
                    "$JS.API.DIRECT.GET.OPS_DESK.ops.desk.freeze.P",
                    "$JS.API.DIRECT.GET.OPS_OUTCOMES.ops.exec.P.i",
                    "$JS.API.CONSUMER.INFO.OPS_EVENTS.agent-host1",
                ],
                may_not: &[
                    "ops.metric.a",
                    "$JS.API.CONSUMER.MSG.NEXT.OPS_EVENTS.agent-host2",
                    "$JS.API.CONSUMER.CREATE.OPS_EVENTS.agent-host1.ops.>",
                    "$JS.API.DIRECT.GET.OPS_DESK.ops.desk.settings",
                ],
            },
            vec![ENGINES, READING, NOTIFIERS, PEOPLES, COLLECTORS],
        ),
        (
            Row {
                role: Some(Role::Notifier),
                may: &[
                    "ops.alive.p",
                    "$JS.API.DIRECT.GET.OPS_OUTCOMES.ops.status.notify.x",
                    "$JS.API.CONSUMER.INFO.OPS_EVENTS.notifier",
                ],
                may_not: &[
                    "ops.metric.a",
                    ">ops.alert.>",
                    "ops.desk.change.x",
                    "$JS.API.DIRECT.GET.OPS_DESK.ops.desk.settings",
                ],
            },
            vec![ENGINES, READING, AGENTS, PEOPLES, COLLECTORS],
        ),
        (
            Row {
                role: Some(Role::Collector),
                may: &["ops.metric.a", "ops.log.0.batch", "ops.deadletter.bad_ts"],
                may_not: &[
                    "ops.log.0.metric.a",
                    "ops.desk.change.x",
                    ">ops.alert.>",
                    "$JS.API.STREAM.INFO.OPS_LOG",
                    "$JS.API.DIRECT.GET.OPS_EVENTS.ops.commit.0",
                ],
            },
            vec![ENGINES, READING, AGENTS, NOTIFIERS, PEOPLES],
        ),
        (
            Row {
                role: Some(Role::Board),
                may: &[
                    "ops.log.0.look",
                    "$JS.API.CONSUMER.CREATE.OPS_EVENTS.mine",
                    "$JS.API.CONSUMER.CREATE.OPS_DESK.mine.ops.desk.settings",
                    "$JS.API.CONSUMER.MSG.NEXT.OPS_ROLLUPS.mine",
                    "$JS.API.STREAM.INFO.OPS_EVENTS",
                ],
                may_not: &[
                    "ops.metric.a",
                    "ops.desk.change.x",
                    "ops.alive.p",
                    "$JS.API.CONSUMER.CREATE.OPS_STATE.mine",
                    "$JS.API.CONSUMER.CREATE.OPS_LOG.mine",
                    "$JS.API.CONSUMER.CREATE.OPS_OUTCOMES.mine",
                    "$JS.API.STREAM.MSG.GET.OPS_DEADLETTER",
                    "$JS.API.DIRECT.GET.OPS_EVENTS.ops.own.0",
                    "$JS.API.CONSUMER.CREATE.OPS_EVENTS.agent-host1",
                    ">_INBOX_admin.>",
                ],
            },
            vec![ENGINES, AGENTS, NOTIFIERS, PEOPLES, COLLECTORS],
        ),
        (
            Row {
                role: Some(Role::Owner),
                may: ENGINES.split_last().expect("not empty").1,
                may_not: &[
                    "ops.metric.a",
                    "ops.log.0.batch",
                    "ops.status.rollback.P",
                    "ops.desk.change.x",
                    "$JS.API.CONSUMER.CREATE.OPS_STATE.mine",
                    "$JS.API.CONSUMER.CREATE.OPS_ROLLUPS.mine",
                    "$JS.API.DIRECT.GET.OPS_LOG",
                    ">_INBOX_admin.>",
                ],
            },
            vec![NOTIFIERS, PEOPLES, AGENTS.split_first().expect("not empty").1],
        ),
    ]
}

#[tokio::test]
async fn every_role_may_what_it_needs_and_nothing_else() {
    let site = site().await;
    let mut wrong = Vec::new();
    for (row, forbidden) in table() {
        let mut caller = site.caller(row.role).await;
        let forbidden = forbidden.into_iter().flatten().chain(NOBODY).chain(row.may_not);
        let cases = row.may.iter().map(|case| (case, true));
        for (case, wanted) in cases.chain(forbidden.map(|case| (case, false))) {
            let may = match case.strip_prefix('>') {
                Some(subject) => caller.may_hear(subject.trim()).await,
                // Under the API's usual name as well as under the role's own.
                None if wanted => caller.may_publish(&called(row.role, case)).await,
                None => {
                    caller.may_publish(case).await
                        || caller.may_publish(&called(row.role, case)).await
                }
            };
            if may != wanted {
                wrong.push(format!("{:?} {case}: may is {may}", row.role.map(Role::name)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_admin_manages_streams_but_forges_no_decision() {
    let site = site().await;
    let mut admin = site.caller(Some(Role::Admin)).await;
    assert!(admin.may_publish("$JS.API.STREAM.INFO.OPS_LOG").await);
    assert!(admin.may_publish("ops.desk.settings").await);
    for subject in [
        "ops.rollback.P.command",
        "ops.own.desk",
        "ops.exec.P.i",
        "ops.metric.a",
        "ops.desk.transition.0",
        "ops.desk.ack.anna",
    ] {
        assert!(!admin.may_publish(subject).await, "{subject}");
    }
    assert!(!admin.may_hear("_INBOX_owner.>").await);
}

#[tokio::test]
async fn an_answer_cannot_be_led_into_a_stream() {
    let site = site().await;
    let admin = JetStream::connect(site.server.options(Role::Admin)).await.unwrap();
    let targets = ["ops.own.desk", "ops.rollback.P.command", "ops.desk.settings", "ops.exec.P.i"];
    for (role, said) in [
        (None, "ops.metric.a"),
        (Some(Role::Publisher), "ops.metric.a"),
        (Some(Role::Person), "ops.desk.ack.anna"),
        (Some(Role::Person), "$JS.API.STREAM.INFO.OPS_EVENTS"),
        (Some(Role::Collector), "ops.log.0.batch"),
        (Some(Role::Reader), "$JS.API.DIRECT.GET.OPS_EVENTS.ops.alert.a.b.c"),
        (Some(Role::Agent), "ops.status.rollback.P"),
        (Some(Role::Agent), "$JS.API.CONSUMER.INFO.OPS_EVENTS.agent-host1"),
        (Some(Role::Agent), "$JS.API.DIRECT.GET.OPS_DESK.ops.desk.freeze.anna"),
        (Some(Role::Notifier), "ops.status.notify.oncall"),
        (Some(Role::Notifier), "$JS.API.CONSUMER.INFO.OPS_EVENTS.notifier"),
    ] {
        let said = &called(role, said);
        let caller = site.caller(role).await;
        // What it may say itself it may have said as an answer too.
        let own = |target: &&str| role == Some(Role::Agent) && target.starts_with("ops.exec.");
        for target in targets.into_iter().filter(|target| !own(target)) {
            caller.client.publish_with_reply(said.clone(), target, Bytes::new()).await.unwrap();
        }
        // An answer to a call behind them shows that they were handled.
        let behind = caller.client.request(said.clone(), Bytes::new()).await;
        behind.unwrap_or_else(|error| panic!("{role:?} {said}: {error}"));
    }
    for (stream, target) in
        [Stream::Events, Stream::Events, Stream::Desk, Stream::Outcomes].into_iter().zip(targets)
    {
        assert_eq!(admin.last(stream, target).await.unwrap(), None, "{target}");
    }
}

#[tokio::test]
async fn a_refused_subject_is_denied_and_not_awaited() {
    let site = site().await;
    let reader = JetStream::connect(site.server.options(Role::Reader)).await.unwrap();
    let said = Outgoing { subject: "ops.own.0".to_owned(), ..Outgoing::default() };
    assert!(matches!(reader.publish(said).await, Err(BusError::Denied { .. })));
    assert!(matches!(reader.state(Stream::Log).await, Err(BusError::Denied { .. })));
    let read = reader.read(Stream::Log, None, 1).await;
    assert!(matches!(read.err(), Some(BusError::Denied { .. })));
}
