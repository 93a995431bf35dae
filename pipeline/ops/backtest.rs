//! `ops backtest`: what rules would have done, over the retained log or a file of samples.

use crate::bar::Bar;
use crate::cli::{BacktestOptions, Format};
use crate::exit::{Failure, Kind};
use crate::{connect, load, moment};
use bus::SharedBus;
use bus::accounts::Role;
use bytes::Bytes;
use serde_json::json;
use settings::Loaded;
use stages::settings::Settings;
use stages::time::{Span, Time};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trial::backtest::compare::compare;
use trial::backtest::retained::Retained;
use trial::backtest::seen::Seen;
use trial::backtest::sweep::Sweep;
use trial::backtest::{Backtest, Variant, page, text};
use trial::input::Samples;
use trial::{Setup, TrialError};

/// How long a file's last samples are followed: until what they caused is over, or said to go on.
const AFTER: Span = Span::from_secs(3_600);

/// Runs it.
pub async fn run(options: BacktestOptions, format: Format) -> Result<(), Failure> {
    let sweep = options.sweep.as_deref().map(Sweep::parse).transpose();
    let sweep = sweep.map_err(|why| Failure::new(Kind::Usage, why))?;
    let (loaded, names) = load::load_beside(&options.up, &options.rules)?;
    let tried = of_rules(&loaded.settings, &names);
    if let Some(sweep) = &sweep {
        sweep.fits(&tried).map_err(|why| Failure::new(Kind::Usage, why))?;
    }
    let began = Instant::now();
    let file = options.input.as_deref();
    let source = match file {
        Some(path) => Source::File(
            Samples::read(path).map_err(|fault| Failure::new(Kind::Settings, fault.to_string()))?,
        ),
        None => Source::log(&options, &loaded).await?,
    };
    let mut variants = match &sweep {
        Some(sweep) => sweep.variants(&tried),
        None => vec![Variant { label: "as written".to_owned(), settings: tried.clone() }],
    };
    if options.compare.is_some() {
        let other = other(&options, &source, &names).await?;
        variants.push(Variant { label: "in force".to_owned(), settings: other });
    }
    let outcome = play(source, variants, (&options, &tried)).await?;
    show(&options, format, sweep.as_ref(), (&outcome, began.elapsed()))
}

/// Where samples come from.
enum Source {
    File(Samples),
    Log(Box<Retained>),
}

impl Source {
    async fn log(options: &BacktestOptions, loaded: &Loaded) -> Result<Self, Failure> {
        let connection = connect::existing(&loaded.ops).await?;
        let bus: SharedBus = connection.in_role(Role::Admin).await?;
        let (subjects, shards) = (connection.subjects.clone(), loaded.ops.bus.shards);
        let span = span(options)?;
        Ok(Self::Log(Box::new(Retained { bus, subjects, shards, span })))
    }
}

/// The span that was asked for.
fn span(options: &BacktestOptions) -> Result<(Time, Time), Failure> {
    let usage = |why: String| Failure::new(Kind::Usage, why);
    let to = options.to.as_deref().map(moment::read).transpose()?.unwrap_or_else(moment::now);
    let from = match &options.from {
        Some(from) => moment::read(from)?,
        None => to.minus(Span::parse(&options.since).map_err(usage)?),
    };
    if from >= to {
        return Err(usage(format!("--from {from} is not before --to {to}: swap them")));
    }
    Ok((from, to))
}

/// The settings with these rules, and those they look at.
fn of_rules(settings: &Settings, names: &[String]) -> Settings {
    let mut wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let named = settings.rules.iter().filter(|rule| wanted.contains(rule.name.as_str()));
    let guards: Vec<&str> = named.filter_map(|rule| rule.guards.unless.as_deref()).collect();
    wanted.extend(guards);
    let rules = settings.rules.iter().filter(|rule| wanted.contains(rule.name.as_str()));
    Settings { rules: rules.map(Arc::clone).collect(), ..settings.clone() }
}

/// What the rules are held against: a file, those in force, or without a bus those of the folder.
async fn other(
    options: &BacktestOptions,
    source: &Source,
    names: &[String],
) -> Result<Settings, Failure> {
    let settings = match (options.compare.as_ref().and_then(Option::as_ref), source) {
        (Some(file), _) => load::load_beside(&options.up, file)?.0.settings,
        (None, Source::Log(log)) => {
            let current = engine::current_settings(&log.bus, &log.subjects).await;
            let current = current.map_err(connect::engine_failed)?;
            current.map(|(_, settings)| settings).unwrap_or_default()
        }
        (None, Source::File(_)) => load::load(&options.up)?.settings,
    };
    let other = of_rules(&settings, names);
    if other.rules.is_empty() {
        let text =
            format!("no rule {} to compare with: name a file, --compare FILE", names.join(", "));
        return Err(Failure::new(Kind::Usage, text));
    }
    Ok(other)
}

/// What came of it.
struct Outcome {
    seen: Vec<Seen>,
    samples: u64,
    notes: Vec<String>,
}

async fn play(
    source: Source,
    variants: Vec<Variant>,
    (options, tried): (&BacktestOptions, &Settings),
) -> Result<Outcome, Failure> {
    let mut bar = Bar::new("backtest", "samples");
    let mut notes = Vec::new();
    let (backtest, from) = match source {
        Source::Log(mut log) => {
            let from = log.span.0;
            log.span.0 = from.minus(Backtest::warm_up(tried));
            let (created, shards) = (log.created().await.map_err(failed)?, log.shards);
            let setup = Setup {
                subjects: log.subjects.clone(),
                created,
                shards,
                keep: false,
                stored: true,
            };
            let mut backtest = Backtest::new(setup, variants);
            let mut progress = |done, whole, counted| bar.show(done, whole, counted);
            let first = log.play(&mut backtest, &mut progress).await.map_err(failed)?;
            let Some(first) = first else {
                return Err(Failure::new(
                    Kind::Failed,
                    "the log holds no entries of that time".to_owned(),
                ));
            };
            if first > from {
                notes.push(format!("the log reaches back to {first}"));
            }
            (backtest, from.max(first))
        }
        Source::File(samples) => file(&samples, variants, (options, tried), &mut bar, &mut notes)?,
    };
    bar.end();
    let (samples, _) = backtest.counted();
    notes.extend(backtest.refused().map(|reason| format!("some samples were refused: {reason}")));
    Ok(Outcome { seen: backtest.finish(from), samples, notes })
}

fn file(
    samples: &Samples,
    variants: Vec<Variant>,
    (options, tried): (&BacktestOptions, &Settings),
    bar: &mut Bar,
    notes: &mut Vec<String>,
) -> Result<(Backtest, Time), Failure> {
    let (first, last) = samples.span().unwrap_or_default();
    let metrics: BTreeSet<&str> = samples.metrics().collect();
    for rule in &tried.rules {
        for metric in rule.metrics().difference(&metrics) {
            notes.push(format!(
                "the file has no samples of {metric}, which rule {} watches",
                rule.name
            ));
        }
    }
    let mut backtest = Backtest::new(Setup::at(first), variants);
    let whole = samples.len() as u64;
    samples
        .each(|time, batch, done| {
            backtest.samples(time, Bytes::from(batch))?;
            bar.show(done as u64, whole, done as u64);
            Ok(())
        })
        .and_then(|()| backtest.pass(last.plus(AFTER)))
        .map_err(failed)?;
    let from = match &options.from {
        Some(_) => span(options)?.0,
        None => first,
    };
    Ok((backtest, from))
}

fn failed(error: TrialError) -> Failure {
    match error {
        TrialError::Bus(error) => error.into(),
        other => Failure::new(Kind::Failed, other.to_string()),
    }
}

fn show(
    options: &BacktestOptions,
    format: Format,
    sweep: Option<&Sweep>,
    (outcome, took): (&Outcome, Duration),
) -> Result<(), Failure> {
    let (Outcome { seen, samples, notes }, took) = (outcome, took.as_secs_f64());
    let compared = options.compare.is_some().then(|| seen.split_last()).flatten();
    let swept = compared.map_or(&seen[..], |(_, others)| others);
    let until = seen.first().map_or_else(Time::default, |one| one.span.1);
    if let (Some(path), Some(sweep)) = (&options.html, sweep) {
        write(path, &page::sweep(&options.rules.display().to_string(), sweep, swept))?;
    }
    let rate = *samples as f64 / took.max(1e-3);
    if format == Format::Json {
        let comparisons: Vec<_> = compared
            .iter()
            .flat_map(|(other, tried)| tried.iter().map(|one| compare(one, other)))
            .collect();
        let line = json!({
            "samples": samples, "seconds": took, "notes": notes, "variants": seen, "comparisons": comparisons,
        });
        println!("{line}");
        return Ok(());
    }
    notes.iter().for_each(|note| println!("note: {note}"));
    match sweep {
        Some(sweep) => print!("{}", text::table(sweep, swept)),
        None => swept.iter().for_each(|one| print!("{}", text::seen(one))),
    }
    if let Some((other, tried)) = compared {
        if sweep.is_none() {
            print!("{}", text::seen(other));
        }
        tried.iter().for_each(|one| print!("{}", text::comparison(&compare(one, other), until)));
    }
    println!("{samples} samples in {took:.1} s ({rate:.0}/s)");
    Ok(())
}

fn write(path: &Path, page: &str) -> Result<(), Failure> {
    std::fs::write(path, page).map_err(|error| {
        let text = format!("{}: {error}; name a file that can be written", path.display());
        Failure::new(Kind::Failed, text)
    })
}
