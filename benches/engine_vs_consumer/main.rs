//! The engine against a bare consumer of the same stream: throughput, CPU of the process, CPU of the server.
//!
//! A stream is filled, then read three times in processes of their own: by a bare consumer, by the engine, by the
//! bare consumer again. It does nothing with a single sample and only decodes batches, so what it needs is what any
//! consumer would need at least. The engine commits, snapshots and publishes rollups beside it.

#[path = "../support/allocator.rs"]
mod allocator;
#[path = "../support/mod.rs"]
mod support;

mod drain;
mod forms;

use drain::{Drained, Side, drain, start_engine};
use engine::{apply_settings, wait_in_force};
use forms::Form;
use stages::settings::Stat;
use stages::subject::Subjects;
use stages::time::Span;
use std::time::Duration;
use support::fill::fill;
use support::load;
use support::plain_server::PlainServer;
use support::process::cpu;
use support::table::{Goal, Table, millions, short};

const PATIENCE: Duration = Duration::from_secs(60);

/// One side's run with the server's part in it.
#[derive(Clone, Copy)]
struct Run {
    drained: Drained,
    server_seconds: f64,
}

fn main() {
    if drain::is_child() || !support::asked_for("engine_vs_consumer") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut table = Table::new("engine_vs_consumer");
    for form in Form::ALL {
        let (engine, consumer) = runtime.block_on(measure(form));
        rows(&mut table, form, engine, consumer);
    }
    table.finish();
}

/// The engine's run and the mean of the consumer's runs before and after it, on a server of their own.
async fn measure(form: Form) -> (Run, Run) {
    let server = PlainServer::start().await;
    let url = server.url();
    put_in_force(&url).await;
    let client = async_nats::connect(&url).await.expect("the server answers");
    let stream = async_nats::jetstream::new(client);
    let last = fill(&stream, form.stream()).await;
    let range = (last + 1 - form.messages() as u64, last);
    let run = |side| {
        let before = cpu(server.pid());
        let drained = drain(side, &url, form, range);
        let server_seconds = (cpu(server.pid()) - before).as_secs_f64();
        eprintln!("  {form:?} {side:?}: {drained:?}, server {server_seconds:.2} s");
        Run { drained, server_seconds }
    };
    // The first read finds the server's files cold; nobody is measured by it.
    run(Side::Consumer);
    let (before, engine, after) = (run(Side::Consumer), run(Side::Engine), run(Side::Consumer));
    (engine, mean(before, after))
}

/// Streams and 1 000 rules, worked off once, so that the measured engine starts from a snapshot.
async fn put_in_force(url: &str) {
    let (subjects, settings) =
        (Subjects::default(), load::settings(Stat::Mean, Span::from_secs(60), &[]));
    let bus = bus::jetstream::JetStream::connect(bus::jetstream::Options::new(url)).await;
    bus::Bus::ensure(&bus.expect("the server answers"), 1).await.expect("streams are made");
    let (engine, bus) = start_engine(url).await;
    let applied = apply_settings(&bus, &subjects, &settings).await.expect("settings are stored");
    let wanted = (&*settings.revision, applied);
    let in_force = wait_in_force(&bus, &subjects, 1, wanted, PATIENCE).await;
    in_force.expect("settings are in force");
    engine.shutdown(PATIENCE).await;
}

fn mean(one: Run, other: Run) -> Run {
    let (a, b) = (one.drained, other.drained);
    let drained = Drained {
        wall_seconds: (a.wall_seconds + b.wall_seconds) / 2.0,
        cpu_seconds: (a.cpu_seconds + b.cpu_seconds) / 2.0,
        samples: a.samples,
    };
    Run { drained, server_seconds: (one.server_seconds + other.server_seconds) / 2.0 }
}

fn rows(table: &mut Table, form: Form, engine: Run, consumer: Run) {
    let title = form.title();
    let rate = |run: Run| run.drained.samples as f64 / run.drained.wall_seconds;
    let each = |run: Run, seconds: f64| seconds * 1e9 / run.drained.samples as f64;
    let bare = millions(rate(consumer));
    let of_bare = format!("the bare consumer's {bare}");
    let ratio = (rate(engine) / rate(consumer), of_bare.as_str());
    let what = format!("{title}: engine's throughput");
    table.goal_of_ratio(what, millions(rate(engine)), ratio, Goal::AtLeast(0.9));
    if form == Form::Batch {
        let figure = (rate(engine) / 1e6, "M samples/s");
        table.goal(format!("{title}: engine"), figure, Goal::AtLeast(5.0), "");
    }
    let cpu = each(engine, engine.drained.cpu_seconds);
    let bare_cpu = each(consumer, consumer.drained.cpu_seconds);
    let figure = format!("{} ns/sample", short(cpu));
    let what = format!("{title}: engine's CPU");
    let of = format!("the bare consumer's {} ns", short(bare_cpu));
    if form == Form::One {
        table.goal_of_ratio(what, figure, (cpu / bare_cpu, of.as_str()), Goal::AtMost(1.5));
    } else {
        table.note(what, figure, format!("{:.2} x {of}", cpu / bare_cpu));
    }
    let (server, bare) =
        (each(engine, engine.server_seconds), each(consumer, consumer.server_seconds));
    let figure = format!("{} ns/sample", short(server));
    let ratio = format!("{:.2} x with the bare consumer's {} ns", server / bare, short(bare));
    table.note(format!("{title}: server's CPU"), figure, ratio);
}
