//! `ops`: the one binary. Wiring only; what is decided is decided in the stages.

mod audit;
mod backtest;
mod backup;
mod bar;
mod burst;
mod cli;
mod connect;
mod console;
mod doctor;
mod exit;
mod exposition;
mod health;
mod http;
mod keys;
mod load;
mod moment;
mod plans;
mod ready;
mod recover;
mod reload;
mod restore;
mod rules;
mod shard;
mod signals;
mod up;
mod watch;
mod why;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command, Format};
use exit::Failure;
use std::io::IsTerminal as _;
use std::process::ExitCode;

/// See the manifest.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(cli.format);
    // One TLS provider for all of the process. It can only be installed once, and nobody else does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    abort_on_panic();
    #[cfg(debug_assertions)]
    arm_failpoints();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Failure::from(anyhow::Error::new(error)).report(false),
    };
    let json = cli.format == Format::Json;
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let format = cli.format;
    match cli.command {
        Command::Up(options) => up::run(options.split(), up::Occasion::Up, format).await,
        Command::Lab(options) => up::run(options.split(), up::Occasion::Lab, format).await,
        Command::Agent(options) => up::run((options, false), up::Occasion::Agent, format).await,
        Command::Burst(options) => burst::run(options, format).await,
        Command::Rules { command } => rules::run(command, format).await,
        Command::Plans { command } => plans::run(command, format).await,
        Command::Backtest(options) => backtest::run(*options, format).await,
        Command::Why(options) => why::run(*options, format).await,
        Command::Audit { command } => audit::run(command, format).await,
        Command::Recover { accept_loss, log, options } => {
            recover::run(&options, (log.as_deref(), accept_loss), format).await
        }
        Command::Backup { folder, options } => backup::run(&folder, &options, format).await,
        Command::Restore { folder, options } => restore::run(&folder, &options, format).await,
        Command::Shard { command } => shard::run(command, format).await,
        Command::Keys(options) => keys::run(&options, format),
        Command::Dashboard { metric, window, url } => {
            http::dashboard(&metric, &window, &url, format)
        }
        Command::Status { url } => http::status(&url, format).await,
        Command::Doctor(options) => doctor::run(options, format).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "ops", &mut std::io::stdout());
            Ok(())
        }
        Command::Man => {
            let page = clap_mangen::Man::new(Cli::command());
            page.render(&mut std::io::stdout()).map_err(|error| anyhow::Error::new(error).into())
        }
    }
}

/// The product's own log goes to stderr; `RUST_LOG` chooses how much of it.
fn start_log(format: Format) {
    let chosen = tracing_subscriber::EnvFilter::try_from_default_env();
    // The bus says in one line what its client says in several.
    let filter = chosen.unwrap_or_else(|_| "warn,ops=info,async_nats=off".into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        Format::Json => log.json().init(),
        Format::Text => log.with_target(false).compact().init(),
    }
}

/// Builds for tests alone: stages panic over entries that hold this text.
#[cfg(debug_assertions)]
fn arm_failpoints() {
    if let Ok(text) = std::env::var("OPS_FAILPOINT_PANIC_OVER") {
        stages::stop::failpoint::panic_over(text.as_bytes());
    }
}

/// A half-dead process would hold its logs: a panic ends it. Stages alone are caught, where they run: a log
/// whose stage panics stands still by itself, and says why.
fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        if !stages::dataflow::is_guarded() {
            std::process::abort();
        }
    }));
}
