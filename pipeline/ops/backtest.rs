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
use stages::subject::Subjects;
use stages::time::{Span, Time};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trial::backtest::compare::compare;
use trial::backtest::retained::Retained;
use trial::backtest::rolled::{Approximate, Rolled};
use trial::backtest::seen::Seen;
use trial::backtest::sweep::Sweep;
use trial::backtest::{Backtest, Variant, page, text};
use trial::input::Samples;
use trial::{Setup, TrialError};

/// How long a file's last samples are followed: until what they caused is over, or said to go on.
const AFTER: Span = Span::from_secs(3_600);

/// What to do about a span that begins before the log.
const BEYOND: &str = "--from-rollups judges what was before it, approximately";

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
        None => Source::log(&options, &loaded, &tried).await?,
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
    Rolled(Box<(Rolled, Samples, Approximate)>),
}

impl Source {
    async fn log(
        options: &BacktestOptions,
        loaded: &Loaded,
        tried: &Settings,
    ) -> Result<Self, Failure> {
        let connection = connect::existing(&loaded.ops).await?;
        let bus: SharedBus = connection.in_role(Role::Admin).await?;
        let (subjects, shards) = (connection.subjects.clone(), loaded.ops.bus.shards);
        let span = span(options)?;
        if options.from_rollups {
            let span = (span.0.minus(Backtest::warm_up(tried)), span.1);
            let rolled = Rolled { bus, subjects, shards, span };
            let (samples, approximate) = rolled.samples(&tried.rules).await.map_err(failed)?;
            return Ok(Self::Rolled(Box::new((rolled, samples, approximate))));
        }
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
        (None, Source::Log(log)) => in_force(&log.bus, &log.subjects).await?,
        (None, Source::Rolled(rolled)) => in_force(&rolled.0.bus, &rolled.0.subjects).await?,
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

async fn in_force(bus: &SharedBus, subjects: &Subjects) -> Result<Settings, Failure> {
    let current = engine::current_settings(bus, subjects).await;
    let current = current.map_err(connect::engine_failed)?;
    Ok(current.map(|(_, settings)| settings).unwrap_or_default())
}

/// What came of it.
struct Outcome {
    seen: Vec<Seen>,
    samples: u64,
    notes: Vec<String>,
    approximate: Option<Approximate>,
}

async fn play(
    source: Source,
    variants: Vec<Variant>,
    (options, tried): (&BacktestOptions, &Settings),
) -> Result<Outcome, Failure> {
    let mut bar = Bar::new("backtest", "samples");
    let (mut notes, mut approximate) = (Vec::new(), None);
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
                    format!("the log holds no entries of that time; {BEYOND}"),
                ));
            };
            if first > from {
                notes.push(format!("the log reaches back to {first}; {BEYOND}"));
            }
            (backtest, from.max(first))
        }
        Source::File(samples) => {
            let (mut backtest, from) =
                file(&samples, variants, (options, tried), &mut bar, &mut notes)?;
            let last = samples.span().unwrap_or_default().1;
            backtest.pass(last.plus(AFTER)).map_err(failed)?;
            (backtest, from)
        }
        Source::Rolled(rolled) => {
            let (rolled, samples, said) = *rolled;
            approximate = Some(said);
            // Time before it is there for windows to be full.
            let asked = rolled.span.0.plus(Backtest::warm_up(tried));
            let (mut backtest, _) =
                file(&samples, variants, (options, tried), &mut bar, &mut Vec::new())?;
            let first = samples.span().unwrap_or_default().0;
            backtest.pass(rolled.span.1).map_err(failed)?;
            if first > asked {
                notes.push(format!("rollups reach back to {first}"));
            }
            (backtest, asked.max(first))
        }
    };
    bar.end();
    let (samples, _) = backtest.counted();
    notes.extend(backtest.refused().map(|reason| format!("some samples were refused: {reason}")));
    Ok(Outcome { seen: backtest.finish(from), samples, notes, approximate })
}

fn file(
    samples: &Samples,
    variants: Vec<Variant>,
    (options, tried): (&BacktestOptions, &Settings),
    bar: &mut Bar,
    notes: &mut Vec<String>,
) -> Result<(Backtest, Time), Failure> {
    let first = samples.span().unwrap_or_default().0;
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
    let (Outcome { seen, samples, notes, approximate }, took) = (outcome, took.as_secs_f64());
    let compared = options.compare.is_some().then(|| seen.split_last()).flatten();
    let swept = compared.map_or(&seen[..], |(_, others)| others);
    let until = seen.first().map_or_else(Time::default, |one| one.span.1);
    if let (Some(path), Some(sweep)) = (&options.html, sweep) {
        let rules = options.rules.display().to_string();
        write(path, &page::sweep(&rules, sweep, swept, approximate.as_ref()))?;
    }
    let rate = *samples as f64 / took.max(1e-3);
    if format == Format::Json {
        let comparisons: Vec<_> = compared
            .iter()
            .flat_map(|(other, tried)| tried.iter().map(|one| compare(one, other)))
            .collect();
        let line = json!({
            "samples": samples, "seconds": took, "notes": notes, "approximate": approximate, "variants": seen,
            "comparisons": comparisons,
        });
        println!("{line}");
        return Ok(());
    }
    let approximate = approximate.iter().flat_map(Approximate::lines);
    approximate.chain(notes.iter().cloned()).for_each(|note| println!("note: {note}"));
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
