//! What can be asked about rules: checked, compared, tried, explained.

use super::{Folders, UpOptions};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Systems whose rules can be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportFrom {
    /// Alerting rules in groups, as Prometheus reads them.
    Prometheus,
}

/// What can be done with rules.
#[derive(Subcommand, Debug)]
pub enum RulesCommand {
    /// Check all settings offline; every problem at once, with file, line and column
    Check {
        /// Fail on warnings too.
        #[arg(long)]
        strict: bool,
        /// Where the settings are.
        #[command(flatten)]
        folders: Folders,
    },
    /// Say in plain English what each rule means: when it fires, what no data means, what runs by itself
    Explain {
        /// Folder of the rules, in place of --rules.
        folder: Option<PathBuf>,
        /// One rule only, by its name.
        #[arg(long)]
        rule: Option<String>,
        /// Where the settings are.
        #[command(flatten)]
        folders: Folders,
    },
    /// Play the tests beside the rules (`*.test.yml`), offline, and say what differs from what they expect
    Test(TestOptions),
    /// Make the settings of the folders the ones in force
    Apply {
        /// Where they are, and which bus.
        #[command(flatten)]
        options: UpOptions,
        /// Who applies them.
        #[arg(long, env = "USER", default_value = "operator")]
        author: String,
        /// Why.
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Convert the alerting rules of another system; each one that cannot be is named with the reason
    Import {
        /// From what.
        #[arg(value_enum)]
        from: ImportFrom,
        /// Its rule file.
        file: PathBuf,
        /// Write the rules to this file, which must not be there yet [default: standard output].
        #[arg(long)]
        to: Option<PathBuf>,
        /// Labels that tell series apart where an expression does not say, with commas between; '' where each metric has
        /// one series.
        #[arg(long)]
        group_by: Option<String>,
    },
    /// Print the JSON Schema of rule files, from which editors complete and check them
    Schema {
        /// That of `_defaults.yml` instead.
        #[arg(long)]
        defaults: bool,
    },
    /// Say what the settings of the folders would change, and what that does to alerts
    Diff {
        /// Where they are, and which bus.
        #[command(flatten)]
        options: UpOptions,
    },
    /// List the revisions that were ever in force, newest first
    History {
        /// How many.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Which bus.
        #[command(flatten)]
        options: UpOptions,
    },
    /// Put an earlier revision in force again: all of it, as a new revision of yours
    ///
    /// Rules, plans, receivers and limits become what they were. The files stay as they are; make them say the same, or
    /// the next `ops rules apply` undoes it.
    Rollback {
        /// Which one, as `ops rules history` names it; its first digits are enough, or its sequence as #SEQUENCE.
        revision: String,
        /// Who puts it in force.
        #[arg(long, env = "USER", default_value = "operator")]
        author: String,
        /// Why.
        #[arg(long, default_value = "")]
        comment: String,
        /// Which bus.
        #[command(flatten)]
        options: UpOptions,
    },
    /// List the rules in force
    List {
        /// Where HMS-OPS listens.
        #[arg(long, env = "OPS_URL", default_value = "http://127.0.0.1:9900")]
        url: String,
    },
}

/// What is tried on which past.
#[derive(Args, Debug)]
pub struct BacktestOptions {
    /// File with the rules to try.
    #[arg(value_name = "RULEFILE", id = "rule_file")]
    pub rules: PathBuf,
    /// How far back; at most as long as the log is kept.
    #[arg(long, default_value = "7d")]
    pub since: String,
    /// From when on, like 2026-11-20T16:00:00Z or 3d for three days ago, instead of --since.
    #[arg(long)]
    pub from: Option<String>,
    /// Until when [default: now].
    #[arg(long)]
    pub to: Option<String>,
    /// Samples of a file instead of the log: JSON lines, CSV with a head, or what Prometheus exports.
    #[arg(long)]
    pub input: Option<PathBuf>,
    /// From rollups instead of the log, for what it no longer holds: panes of ten seconds, before those of minutes. An
    /// approximation, with what is lost in it said.
    #[arg(long, conflicts_with = "input")]
    pub from_rollups: bool,
    /// Hold them against the rules of the same names in another file [default: those in force, with --input those of
    /// the folder].
    #[arg(long, num_args = 0..=1)]
    pub compare: Option<Option<PathBuf>>,
    /// Try a range of values: threshold=500..2000:100. Also share, recover, min_samples, window, for, keep_firing_for; of
    /// several conditions one by its name: "errors / requests threshold=0.01..0.1:0.01".
    #[arg(long)]
    pub sweep: Option<String>,
    /// File to write the sweep to as a page with charts.
    #[arg(long, requires = "sweep")]
    pub html: Option<PathBuf>,
    /// Which bus.
    #[command(flatten)]
    pub up: UpOptions,
}

/// What is asked about.
#[derive(Args, Debug)]
pub struct WhyOptions {
    /// The incident, or the beginning of its id.
    #[arg(conflicts_with_all = ["rule", "at"])]
    pub incident: Option<String>,
    /// A rule, with --at.
    #[arg(long, requires = "at")]
    pub rule: Option<String>,
    /// A moment, like 2026-11-20T16:00:00Z, or 10m for ten minutes ago, or now.
    #[arg(long, requires = "rule")]
    pub at: Option<String>,
    /// Which bus.
    #[command(flatten)]
    pub up: UpOptions,
}

/// Which tests of rules.
#[derive(Args, Debug)]
pub struct TestOptions {
    /// Files, and folders with `*.test.yml` in them [default: the folder of the rules].
    pub paths: Vec<PathBuf>,
    /// File to write the results to as JUnit XML, for build servers.
    #[arg(long)]
    pub junit: Option<PathBuf>,
    /// Where the rules are, and whom they tell.
    #[command(flatten)]
    pub folders: Folders,
}
