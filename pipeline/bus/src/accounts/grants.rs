//! The table: what each role may publish and subscribe to.

use super::Role;
use crate::Stream;
use crate::layout::Layout;

/// What somebody may do; everything else is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// Subjects it may publish to. Calls of the JetStream API and acks are publications too.
    pub publish: Vec<String>,
    /// Subjects it may not publish to even so.
    pub deny: Vec<String>,
    /// Subjects it may listen to.
    pub subscribe: Vec<String>,
}

impl Grants {
    /// The grants of `role`, for a person or agent under `name`.
    pub fn of(role: Role, name: &str, layout: &Layout) -> Self {
        let mut list = List { layout, publish: Vec::new(), subscribe: Vec::new() };
        list.subscribe.push(format!("{}.>", role.inbox_prefix()));
        match role {
            Role::Publisher => list.publisher(),
            Role::Reader => list.reader(),
            Role::Person => list.person(name),
            Role::Agent => list.agent(name),
            Role::Notifier => list.notifier(),
            Role::Owner => list.owner(),
            Role::Collector => list.collector(),
            Role::Board => list.board(),
            Role::Admin => list.admin(),
        }
        Self { publish: list.publish, deny: Vec::new(), subscribe: list.subscribe }
    }

    /// Takes away the durable consumers of others: their work, their settings, their existence.
    pub(super) fn leave_alone(&mut self, stream: &str, durables: &[String]) {
        for durable in durables {
            for call in ["INFO", "MSG.NEXT", "DELETE"] {
                self.deny.push(format!("$JS.API.CONSUMER.{call}.{stream}.{durable}"));
            }
            self.deny.push(format!("$JS.API.CONSUMER.CREATE.{stream}.{durable}"));
            self.deny.push(format!("$JS.API.CONSUMER.CREATE.{stream}.{durable}.>"));
        }
    }
}

/// Grants in the making.
struct List<'a> {
    layout: &'a Layout,
    publish: Vec<String>,
    subscribe: Vec<String>,
}

impl List<'_> {
    fn publisher(&mut self) {
        self.say(&["metric.>"]);
        self.hear(&["alert.>"]);
    }

    fn reader(&mut self) {
        self.hear(&["alert.>"]);
        self.peek(Stream::Events, "alert.>");
    }

    fn person(&mut self, name: &str) {
        for kind in ["ack", "silence", "approve", "freeze", "close", "unlock"] {
            self.say(&[&format!("desk.{kind}.{name}")]);
        }
        self.hear(&["alert.>", "rollback.>"]);
        for stream in [Stream::Events, Stream::Outcomes, Stream::Desk] {
            self.call("STREAM.INFO", stream, "");
            // By place or time, of any subject: people may see what was decided and why.
            self.call("DIRECT.GET", stream, "");
            self.call("DIRECT.GET", stream, ".>");
        }
    }

    fn agent(&mut self, name: &str) {
        self.say(&["exec.>", "status.rollback.>", "desk.change.>", "alive.>"]);
        self.hear(&["rollback.>"]);
        self.work(Stream::Events, &format!("agent-{name}"), "rollback.*.command");
        self.peek(Stream::Outcomes, "exec.>");
        self.peek(Stream::Events, "rollback.>");
        self.peek(Stream::Desk, "desk.freeze.>");
    }

    fn notifier(&mut self) {
        self.say(&["status.notify.>", "alive.>"]);
        self.work(Stream::Events, "notifier", "notify.>");
        self.peek(Stream::Outcomes, "status.notify.>");
    }

    fn owner(&mut self) {
        self.say(&["log.*.tick", "log.*.settings", "log.*.verify"]);
        self.say(&["desk.tick", "desk.transition.>", "desk.outcome.>"]);
        self.say(&["transition.>", "request.>", "alert.>", "notify.>", "rollback.>"]);
        // The ledger: it cancels and expires what nobody claimed.
        self.say(&["commit.>", "own.>", "exec.>"]);
        self.say(&["rollup.>", "state.>", "deadletter.>", "alive.>"]);
        for stream in [Stream::Log, Stream::Desk, Stream::Events, Stream::Outcomes] {
            self.read(stream);
        }
        for stream in [Stream::State, Stream::Alive] {
            self.call("STREAM.MSG.GET", stream, "");
        }
        // It checks at the start that every stream is what it should be.
        for stream in [Stream::Rollups, Stream::State, Stream::DeadLetter, Stream::Alive] {
            self.call("STREAM.INFO", stream, "");
        }
        self.work(Stream::Events, "withdraw", "rollback.*.withdraw");
        for stream in [Stream::Desk, Stream::Events, Stream::State] {
            self.call("STREAM.PURGE", stream, "");
        }
    }

    fn collector(&mut self) {
        self.say(&["metric.>", "log.*.batch", "log.*.tick", "deadletter.>", "alive.>"]);
    }

    fn board(&mut self) {
        self.say(&["log.*.look"]);
        for stream in [Stream::Desk, Stream::Events, Stream::Rollups] {
            self.read(stream);
        }
        // Where a time lies in the rollups.
        self.call("DIRECT.GET", Stream::Rollups, "");
    }

    fn admin(&mut self) {
        self.say(&["desk.settings"]);
        self.publish.push("$JS.API.>".to_owned());
        // Chunks of streams it copies and restores.
        self.publish.push("$JS.SNAPSHOT.>".to_owned());
    }

    /// May publish to these subjects behind the prefix.
    fn say(&mut self, subjects: &[&str]) {
        let prefix = &self.layout.subject_prefix;
        self.publish.extend(subjects.iter().map(|subject| format!("{prefix}.{subject}")));
    }

    /// May listen to these subjects as they are published.
    fn hear(&mut self, subjects: &[&str]) {
        let prefix = &self.layout.subject_prefix;
        self.subscribe.extend(subjects.iter().map(|subject| format!("{prefix}.{subject}")));
    }

    /// May read the last message of these subjects.
    fn peek(&mut self, stream: Stream, subject: &str) {
        let tail = format!(".{}.{subject}", self.layout.subject_prefix);
        self.call("DIRECT.GET", stream, &tail);
    }

    /// May make and use one durable consumer, of this name and filter.
    fn work(&mut self, stream: Stream, name: &str, filter: &str) {
        let filter = format!(".{name}.{}.{filter}", self.layout.subject_prefix);
        let own = format!(".{name}");
        self.call("CONSUMER.CREATE", stream, &filter);
        self.call("CONSUMER.INFO", stream, &own);
        self.call("CONSUMER.MSG.NEXT", stream, &own);
        let name = format!("{}.{name}.>", self.layout.stream_name(stream));
        self.publish.push(format!("$JS.ACK.{name}"));
        // The longer form with domain and account, which servers may switch to.
        self.publish.push(format!("$JS.ACK.*.*.{name}"));
    }

    /// May read a stream with consumers of its own, or any one message of it.
    fn read(&mut self, stream: Stream) {
        self.call("STREAM.INFO", stream, "");
        self.call("STREAM.MSG.GET", stream, "");
        self.call("CONSUMER.CREATE", stream, ".>");
        self.call("CONSUMER.MSG.NEXT", stream, ".*");
        self.call("CONSUMER.DELETE", stream, ".*");
    }

    fn call(&mut self, call: &str, stream: Stream, tail: &str) {
        let name = self.layout.stream_name(stream);
        self.publish.push(format!("$JS.API.{call}.{name}{tail}"));
    }
}
