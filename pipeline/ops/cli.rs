//! The command line: every subcommand, its options, and what they default to.

mod rules;

use crate::burst::BurstOptions;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

pub use rules::{BacktestOptions, ImportFrom, RulesCommand, TestOptions, WhyOptions};

/// Mission control for a fleet of services.
#[derive(Parser, Debug)]
#[command(name = "ops", version, about, max_term_width = 100)]
#[command(after_help = "Exit codes: 1 failed, 2 usage, 3 settings refused, 4 bus not reachable, \
    5 bus refuses the credentials, 6 address taken or not allowed, 7 data folder, 8 stream configured \
    differently, 9 unhealthy, or rules other than tested.")]
pub struct Cli {
    /// How results and errors are written.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run HMS-OPS: all roles, or some; supervises a local NATS server when given none
    ///
    /// On SIGHUP the notifier reads again whom it reaches where: receivers, roster, pacing, mail server. Rules and plans
    /// stay as they are in force; `ops rules apply` changes them, and new receivers are found without a signal.
    Up(RunOptions),
    /// Run the lab: everything in one process, on a local NATS server, with the settings of this folder
    ///
    /// The files are applied at start and on SIGHUP.
    Lab(RunOptions),
    /// Play the slow county service against the lab
    Burst(BurstOptions),
    /// Run the rollback agent alone
    ///
    /// Without --nats-url it joins the local server that `ops up` runs on the same data folder, under the same name.
    /// Its health is at a free port, which it prints, unless --listen names one.
    Agent(UpOptions),
    /// Check, explain, apply and list rules; compare them, and go back
    Rules {
        /// What to do with them.
        #[command(subcommand)]
        command: RulesCommand,
    },
    /// Say what a person decides about rollback plans
    Plans {
        /// What to do with them.
        #[command(subcommand)]
        command: PlansCommand,
    },
    /// Say what rules would have done: over the log as far back as it is kept, or over a file of samples
    ///
    /// Every incident they would have opened, who would have been paged, what would have been rolled back. Commands
    /// count as claimed at once and succeeded; what the samples say afterwards is what they said then. "Detected after" is
    /// counted from when the level over 10 s was beyond the threshold.
    Backtest(Box<BacktestOptions>),
    /// Say why an incident was and who was told, or how a rule stood at a moment
    ///
    /// With the evidence, every move and its reason, messages and what became of them, what was not sent and which silence,
    /// budget or guard stopped it. Recomputed from the log as far back as that is kept, and held against what was recorded.
    Why(Box<WhyOptions>),
    /// Prove from the logs what was said
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Say why a log cannot be continued, and go on without what is gone
    Recover {
        /// Give up what is lost; without it, only say what that is.
        #[arg(long)]
        accept_loss: bool,
        /// Which log, a shard's number or `desk` [default: all].
        #[arg(long)]
        log: Option<String>,
        /// Which bus.
        #[command(flatten)]
        options: UpOptions,
    },
    /// Copy all streams into a folder, as they are at one moment
    ///
    /// Alerting stands still meanwhile: the logs are taken from their engines, which work off afterwards what came in.
    /// It says for how long. Streams only: folders with settings, plans, keys and agents' journals are files already.
    Backup {
        /// Folder to make; what is in it is for your eyes only.
        folder: PathBuf,
        /// Which bus.
        #[command(flatten)]
        options: UpOptions,
    },
    /// Make all streams from a folder that `ops backup` made, on a bus that has none
    ///
    /// Without --nats-url, in the data folder, where nothing may run yet. What came in after the backup is not known:
    /// look at what agents did since then before rollbacks are allowed again.
    Restore {
        /// Folder of the backup.
        folder: PathBuf,
        /// Which bus.
        #[command(flatten)]
        options: UpOptions,
    },
    /// Say what a person decides about the logs of shards and desk
    Shard {
        /// What to do with them.
        #[command(subcommand)]
        command: ShardCommand,
    },
    /// Make the keys and the accounts of a nats-server of your own, as the local one has them
    Keys(KeysOptions),
    /// Print the address of a metric's live chart
    Dashboard {
        /// Metric.
        metric: String,
        /// How far back it shows.
        #[arg(long, default_value = "1h")]
        window: String,
        /// Where the board listens.
        #[arg(long, env = "OPS_URL", default_value = "http://localhost:9900")]
        url: String,
    },
    /// Say how a running HMS-OPS is: logs, lag, alerts
    Status {
        /// Where it listens.
        #[arg(long, env = "OPS_URL", default_value = "http://127.0.0.1:9900")]
        url: String,
    },
    /// Check this machine: settings, folders, nats-server, port, bus
    Doctor(UpOptions),
    /// Print the completion script of a shell
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// What a person decides about plans.
#[derive(Subcommand, Debug)]
pub enum PlansCommand {
    /// Let a plan run again that locked itself after too many runs
    Unlock {
        /// Its name.
        plan: String,
        /// Why it may run again.
        #[arg(long)]
        comment: String,
        /// Who says so.
        #[arg(long, env = "USER", default_value = "operator")]
        author: String,
        /// Which bus.
        #[command(flatten)]
        options: UpOptions,
    },
}

/// What a person decides about a log.
#[derive(Subcommand, Debug)]
pub enum ShardCommand {
    /// Let a log that stands still go on without the entry it stands still before
    ///
    /// A stage fails over that entry. It stays in the log, and nobody reads it any more: what it says is lost.
    /// `ops status` shows which log stands still before which entry.
    Skip {
        /// Which log, a shard's number or `desk`.
        log: String,
        /// The entry; where it stands still before several, the last of them.
        #[arg(long)]
        sequence: u64,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
        /// Who says so.
        #[arg(long, env = "USER", default_value = "operator")]
        author: String,
        /// Which bus.
        #[command(flatten)]
        options: UpOptions,
    },
}

/// What can be proven.
#[derive(Subcommand, Debug)]
pub enum AuditCommand {
    /// Replay the logs and compare every alert, message and rollback with what follows from them
    Verify {
        /// How far back; at most as long as the log is kept.
        #[arg(long, default_value = "24h")]
        since: String,
        /// Which bus.
        #[command(flatten)]
        options: UpOptions,
    },
}

/// Who needs a key.
#[derive(Args, Debug)]
pub struct KeysOptions {
    /// Folder for accounts.conf and the keys; keys that are there already are kept.
    pub folder: PathBuf,
    /// A rollback agent, by the `--name` it runs under; its key lies in a folder of its own. Repeat for more.
    #[arg(long, value_parser = plain_name)]
    pub agent: Vec<String>,
    /// A person, who may silence, approve and unlock under this name; likewise. Repeat for more.
    #[arg(long, value_parser = plain_name)]
    pub person: Vec<String>,
    /// First tokens of all subjects, as bus.prefix in config/ops.yml.
    #[arg(long, default_value = "ops")]
    pub prefix: String,
}

/// Where the files are that people edit.
#[derive(Args, Clone, Debug)]
pub struct Folders {
    /// Rules and their runbooks.
    #[arg(long, default_value = "alerts")]
    pub rules: PathBuf,
    /// ops.yml, roster.yml, receivers.yml.
    #[arg(long, default_value = "config")]
    pub config: PathBuf,
    /// Rollback plans, a folder each.
    #[arg(long, default_value = "deploy/plans")]
    pub plans: PathBuf,
}

/// How a process runs that may put settings in force.
#[derive(Args, Clone, Debug)]
pub struct RunOptions {
    /// How it runs.
    #[command(flatten)]
    pub up: UpOptions,
    /// Apply the settings whenever their folders change [FOLDER: that of the rules, in place of --rules].
    ///
    /// What is refused is said and changes nothing. Needs the right to apply settings, as at the local server.
    #[arg(long, value_name = "FOLDER")]
    pub watch: Option<Option<PathBuf>>,
}

impl RunOptions {
    /// The options with the watched folder in them, and whether folders are watched.
    pub fn split(self) -> (UpOptions, bool) {
        let (mut up, watch) = (self.up, self.watch);
        if let Some(Some(folder)) = &watch {
            up.folders.rules.clone_from(folder);
        }
        (up, watch.is_some())
    }
}

/// How a process runs.
#[derive(Args, Clone, Debug)]
pub struct UpOptions {
    /// Where the settings are.
    #[command(flatten)]
    pub folders: Folders,
    /// Data folder: local NATS store, keys, journal, outbox [default: as config/ops.yml says, else data].
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Addresses to listen on, with commas between [default: as config/ops.yml says, else loopback, port 9900].
    #[arg(long)]
    pub listen: Option<String>,
    /// NATS to use; without one a local server is started and supervised.
    #[arg(long)]
    pub nats_url: Option<String>,
    /// Roles of this process: engine, collector, notifier, agent, board [default: all].
    #[arg(long)]
    pub role: Option<String>,
    /// Name of this process on the bus, the same at every start [default: the host's name and a hash of the
    /// data folder].
    #[arg(value_parser = plain_name, long, env = "OPS_NAME")]
    pub name: Option<String>,
}

/// A name that subjects, consumers and accounts may carry.
fn plain_name(text: &str) -> Result<String, String> {
    if settings::is_plain_name(text) {
        return Ok(text.to_owned());
    }
    Err("write letters, digits, _ and -, at most 64".to_owned())
}
