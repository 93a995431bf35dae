//! Reads all files, checks what refers to what, and says everything that is wrong at once.

use crate::calendars;
use crate::defaults::{self, Defaults};
use crate::endpoint::Endpoints;
use crate::environment;
use crate::fields::{Said, short};
use crate::files::{self, Layout};
use crate::forms::is_plain_name;
use crate::hint::did_you_mean;
use crate::ops::{self, OpsConfig};
use crate::plan;
use crate::problem::{Kind, Place, Problems, Report};
use crate::receivers::Book;
use crate::rule::{self, PlacedRule};
use crate::suspect;
use crate::yaml::{Node, Value};
use sha2::{Digest as _, Sha256};
use stages::settings::{Plan, Rule, Settings};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Everything people configured, apart by where it may go.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What decisions need; enters the logs. `author` and `comment` are for who applies it to fill in.
    pub settings: Settings,
    /// Addresses and references to keys; stay at the edge.
    pub endpoints: Endpoints,
    /// How this process runs; stays at the edge.
    pub ops: OpsConfig,
    /// What somebody should look at.
    pub warnings: Problems,
}

/// Loads everything below `layout`, with this process's environment over it.
///
/// # Errors
/// All problems of all files. The set is refused as a whole; what is in force stays in force.
pub fn load(layout: &Layout) -> Result<Loaded, Problems> {
    load_with(layout, |name| std::env::var(name).ok())
}

/// As [`load`], with `environment` instead of the process's own.
///
/// # Errors
/// See [`load`].
pub fn load_with(
    layout: &Layout,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Loaded, Problems> {
    load_rules(layout, environment, |report| read_rules(layout, report))
}

/// As [`load`], with the rules of `file` in place of those of the same names and of the file as it was: what the settings
/// would be with it. The names of its rules come with it.
///
/// # Errors
/// See [`load`].
pub fn load_beside(
    layout: &Layout,
    file: &Path,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(Loaded, Vec<String>), Problems> {
    let mut names = Vec::new();
    let loaded = load_rules(layout, environment, |report| {
        let known = report.count();
        let mut defaults = Defaults::new(layout, report);
        let mut rules = read_file(layout, file, &mut defaults, report);
        if rules.is_empty() && report.count() == known {
            let remedy = "name a file with a rule in it";
            report.error(&layout.place(file), Kind::Unreadable, "holds no rule", remedy);
        }
        names = rules.iter().map(|placed| placed.rule.name.clone()).collect();
        let same = |path: &Path| match (path.canonicalize(), file.canonicalize()) {
            (Ok(one), Ok(other)) => one == other,
            _ => path == file,
        };
        let others = files::rule_files(layout, report).into_iter().filter(|path| !same(path));
        let others = others.flat_map(|path| read_file(layout, &path, &mut defaults, report));
        let others: Vec<_> = others.filter(|placed| !names.contains(&placed.rule.name)).collect();
        rules.extend(others);
        rules
    })?;
    Ok((loaded, names))
}

fn load_rules(
    layout: &Layout,
    environment: impl Fn(&str) -> Option<String>,
    rules: impl FnOnce(&Report) -> Vec<PlacedRule>,
) -> Result<Loaded, Problems> {
    let report = Report::default();
    let ops = read_ops(layout, environment, &report);
    let mut book = read_book(layout, &report);
    let plans = read_plans(layout, &report);
    let calendars = files::read(layout, &layout.config.join("calendars.yml"), &report);
    let calendars = calendars.map(|node| calendars::read(&node, &report)).unwrap_or_default();
    let rules = rules(&report);
    let suspicions = Report::default();
    suspect::look(&rules, &suspicions);
    let hours = rules.iter().filter_map(|placed| placed.hours.as_ref());
    hours.for_each(|said| calendars::find(said, &calendars, &report));
    let alone: Vec<Said> =
        rules.iter().filter_map(|placed| only(&placed.notify).cloned()).collect();
    let rules = connect(layout, rules, &plans, (&mut book, &report));
    let fallback_receiver = fallback(layout, &mut book, &report);
    if let Some(fallback) = &fallback_receiver {
        alone.iter().for_each(|said| check_alone(said, fallback, &book, &report));
    }
    // Stand-ins for what is wrong would be suspected too.
    if report.errors() == 0 {
        report.add(suspicions);
    }
    let (receivers, endpoints) = book.split();
    let problems = report.finish();
    let Some((ops, limits)) = ops.filter(|_| problems.errors() == 0) else {
        return Err(problems);
    };
    let mut settings = Settings {
        rules,
        plans: plans.into_values().flatten().map(Arc::new).collect(),
        receivers: receivers.into_iter().map(Arc::new).collect(),
        fallback_receiver,
        limits,
        calendars: calendars.into_values().flatten().collect(),
        ..Settings::default()
    };
    settings.revision = revision_of(&settings);
    if let Err(error) = stages::revision::parts(&settings) {
        let report = Report::default();
        let place = layout.place(&layout.alerts);
        report.error(&place, Kind::TooLarge, error.to_string(), error.remedy());
        return Err(report.finish());
    }
    Ok(Loaded { settings, endpoints, ops, warnings: problems })
}

/// Names a content: the first 16 hex digits of SHA-256 over its JSON without revision, author and comment.
///
/// The JSON is canonical because lists are sorted by name and fields stand in the order of the type.
pub fn revision_of(settings: &Settings) -> String {
    let content = Settings {
        revision: String::new(),
        author: String::new(),
        comment: String::new(),
        ..settings.clone()
    };
    let json = serde_json::to_vec(&content).expect("settings have text keys and finite numbers");
    Sha256::digest(&json).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn read_ops(
    layout: &Layout,
    environment: impl Fn(&str) -> Option<String>,
    report: &Report,
) -> Option<(OpsConfig, stages::settings::Limits)> {
    let path = layout.config.join("ops.yml");
    let nothing = || Node { place: layout.place(&path), value: Value::Null };
    let mut node = files::read(layout, &path, report).unwrap_or_else(nothing);
    environment::overlay(&mut node, environment);
    ops::read(&node, &layout.root, report)
}

fn read_book(layout: &Layout, report: &Report) -> Book {
    let mut book = Book::default();
    if let Some(node) = files::read(layout, &layout.config.join("roster.yml"), report) {
        book.read_roster(&node, report);
    }
    if let Some(node) = files::read(layout, &layout.config.join("receivers.yml"), report) {
        book.read_receivers(&node, &layout.root, report);
    }
    book
}

/// Plans by name; `None` for one whose file is wrong, so that rules naming it are not blamed too.
fn read_plans(layout: &Layout, report: &Report) -> BTreeMap<String, Option<Plan>> {
    let mut plans = BTreeMap::new();
    for (name, folder) in files::plan_folders(layout, report) {
        if !is_plain_name(&name) {
            let message = format!("plan folder {:?} has a name no rule can write", short(&name));
            let remedy = "rename it: letters, digits, _ and - only, at most 64";
            report.error(&layout.place(&folder), Kind::BadName, message, remedy);
            continue;
        }
        let path = folder.join("plan.yml");
        let known = report.count();
        let plan = match files::read(layout, &path, report) {
            Some(node) => plan::read(&node, &name, &folder, report),
            None => {
                if report.count() == known {
                    let message = "the plan's folder has no plan.yml";
                    let remedy = "write one with script: <file>, or remove the folder";
                    report.error(&layout.place(&path), Kind::Unreadable, message, remedy);
                }
                None
            }
        };
        plans.insert(name, plan);
    }
    plans
}

fn read_rules(layout: &Layout, report: &Report) -> Vec<PlacedRule> {
    let mut defaults = Defaults::new(layout, report);
    let paths = files::rule_files(layout, report);
    paths.iter().flat_map(|path| read_file(layout, path, &mut defaults, report)).collect()
}

/// The rules of a file; one that lies elsewhere has the defaults of the rules' folder. Defaults of a folder are read, and
/// are no rules.
fn read_file(
    layout: &Layout,
    path: &Path,
    defaults: &mut Defaults<'_>,
    report: &Report,
) -> Vec<PlacedRule> {
    let folder = path.parent().filter(|folder| folder.starts_with(&layout.alerts));
    let folder = folder.unwrap_or(&layout.alerts);
    if path.file_name().is_some_and(|name| name == defaults::FILE) {
        // Nothing in it goes unsaid because its folder holds no rule.
        defaults.read_of(folder);
        return Vec::new();
    }
    let Some(node) = files::read(layout, path, report) else { return Vec::new() };
    let node = defaults.under(folder, node);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    rule::read(&node, &stem, report)
}

/// Checks names and references between rules, plans and receivers; rules sorted by name.
fn connect(
    layout: &Layout,
    rules: Vec<PlacedRule>,
    plans: &BTreeMap<String, Option<Plan>>,
    with: (&mut Book, &Report),
) -> Vec<Arc<Rule>> {
    let (book, report) = with;
    let names = unique_names(&rules, report);
    let shadows = rules.iter().filter(|placed| !placed.rule.mode.is_live());
    let shadows: BTreeSet<String> = shadows.map(|placed| placed.rule.name.clone()).collect();
    let mut connected = BTreeMap::new();
    for placed in rules {
        if let Some(plan) = &placed.plan
            && !plans.contains_key(&plan.text)
        {
            let remedy = unknown(plan, plans.keys(), "create deploy/plans/");
            let message = format!("plan {:?} does not exist", short(&plan.text));
            report.error(&plan.place, Kind::UnknownPlan, message, remedy);
        }
        if let Some(unless) = &placed.unless {
            if !names.contains_key(&unless.text) {
                let remedy = unknown(unless, names.keys(), "create the rule ");
                let message = format!("rule {:?} does not exist", short(&unless.text));
                report.error(&unless.place, Kind::UnknownRule, message, remedy);
            }
            if shadows.contains(unless.text.as_str()) {
                let message =
                    format!("rule {:?} is a shadow and holds nothing back", short(&unless.text));
                report.warning(
                    &unless.place,
                    Kind::Conflict,
                    message,
                    "make it live, or name another rule",
                );
            }
            if unless.text == placed.rule.name {
                let message = "unless names the rule itself, so it would never act";
                report.error(&unless.place, Kind::Conflict, message, "name another rule");
            }
        }
        check_runbook(layout, &placed, report);
        let mut rule = placed.rule;
        for said in &placed.notify {
            if let Some(name) =
                book.resolve(said, report).filter(|name| !rule.notify.contains(name))
            {
                rule.notify.push(name);
            }
        }
        if placed.notify.is_empty() {
            let message = format!("rule {:?} tells nobody", short(&rule.name));
            report.warning(
                &placed.place,
                Kind::NoReceiver,
                message,
                "add notify: [name@example.org]",
            );
        }
        connected.entry(rule.name.clone()).or_insert_with(|| Arc::new(rule));
    }
    connected.into_values().collect()
}

/// Where each name was said first; a second time is an error that names both places.
fn unique_names(rules: &[PlacedRule], report: &Report) -> BTreeMap<String, Place> {
    let mut names: BTreeMap<String, Place> = BTreeMap::new();
    for placed in rules {
        let name = &placed.rule.name;
        if let Some(first) = names.get(name) {
            let message = format!("rule {:?} exists already, at {first}", short(name));
            let remedy = "rename one of them with name:, or remove it";
            report.error(&placed.name_place, Kind::DuplicateName, message, remedy);
        } else {
            names.insert(name.clone(), placed.name_place.clone());
        }
    }
    names
}

/// The remedy for a name that is not among `known`.
fn unknown<'a>(said: &Said, known: impl Iterator<Item = &'a String>, otherwise: &str) -> String {
    did_you_mean(&said.text, known.map(String::as_str), || {
        format!("{otherwise}{}", short(&said.text))
    })
}

/// A runbook is a web address, or `wiki/<name>` for `alerts/runbooks/<name>.md`.
fn check_runbook(layout: &Layout, placed: &PlacedRule, report: &Report) {
    let Some(runbook) = &placed.runbook else {
        let message = format!("rule {:?} has no runbook", short(&placed.rule.name));
        let remedy = "add runbook: wiki/<name>, and alerts/runbooks/<name>.md";
        report.warning(&placed.place, Kind::NoRunbook, message, remedy);
        return;
    };
    if runbook.text.starts_with("https://") || runbook.text.starts_with("http://") {
        return;
    }
    let page = runbook.text.strip_prefix("wiki/").unwrap_or(&runbook.text);
    let path = layout.alerts.join("runbooks").join(format!("{page}.md"));
    if !is_plain_name(page) || !path.is_file() {
        let message = format!("runbook {:?} is not there", short(&runbook.text));
        let remedy =
            "write alerts/runbooks/<name>.md and name it wiki/<name>, or give a web address";
        report.warning(&runbook.place, Kind::NoRunbook, message, remedy);
    }
}

fn fallback(layout: &Layout, book: &mut Book, report: &Report) -> Option<String> {
    let Some(said) = book.fallback.take() else {
        let place = layout.place(&layout.config.join("receivers.yml"));
        let message = "no receiver stands in for those that cannot be reached";
        report.warning(&place, Kind::NoFallback, message, "add fallback: name@example.org");
        return None;
    };
    book.resolve(&said, report)
}

/// The one receiver of a rule that has one.
fn only(notify: &[Said]) -> Option<&Said> {
    notify.first().filter(|_| notify.len() == 1)
}

/// Nobody stands behind the receiver that stands behind all others.
fn check_alone(said: &Said, fallback: &str, book: &Book, report: &Report) {
    if book.resolved(said).is_some_and(|name| name == fallback) && book.channels(fallback) == 1 {
        let message = format!(
            "{:?} stands in for all others and has one channel: where that fails, nobody is told",
            short(&said.text)
        );
        let remedy = "name a second receiver, or give it a second channel";
        report.warning(&said.place, Kind::NoFallback, message, remedy);
    }
}
