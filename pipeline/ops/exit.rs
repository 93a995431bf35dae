//! Why the process ends, and with which code. One line on stderr, one code per kind.

use std::path::Path;
use std::process::ExitCode;

/// Exit codes, as `ops --help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something unexpected.
    Failed = 1,
    /// Bad command line (clap's own code).
    Usage = 2,
    /// Settings or rules are refused.
    Settings = 3,
    /// The bus is not reachable.
    BusUnreachable = 4,
    /// The bus refuses the credentials.
    BusCredentials = 5,
    /// The listen address is taken or not allowed.
    Listen = 6,
    /// The data folder cannot be used.
    Data = 7,
    /// A stream exists with another configuration.
    StreamMismatch = 8,
    /// The story of `ops burst` did not go as told, or `ops doctor` found something wrong.
    Unhealthy = 9,
}

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
}

impl Failure {
    /// A failure of a kind, with its one line.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The data folder cannot be used.
    pub fn data(folder: &Path, error: &std::io::Error) -> Self {
        let folder = folder.display();
        let remedy = "choose another with --data or make it writable";
        Self::new(Kind::Data, format!("data folder {folder}: {error}; {remedy}"))
    }

    /// The story did not go as told.
    pub fn story(message: String) -> Self {
        Self::new(Kind::Unhealthy, message)
    }

    /// Prints the line; the code for the shell.
    pub fn report(self, json: bool) -> ExitCode {
        if json {
            let line = serde_json::json!({ "error": self.message, "exit_code": self.kind as u8 });
            eprintln!("{line}");
        } else {
            eprintln!("ops: {}", self.message);
        }
        ExitCode::from(self.kind as u8)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Kind::Failed, format!("{error:#}"))
    }
}

impl From<bus::BusError> for Failure {
    fn from(error: bus::BusError) -> Self {
        let kind = match &error {
            bus::BusError::Connect { credentials: true, .. } => Kind::BusCredentials,
            bus::BusError::Connect { .. } | bus::BusError::Unavailable { .. } => {
                Kind::BusUnreachable
            }
            bus::BusError::Mismatch { .. }
            | bus::BusError::Anew { .. }
            | bus::BusError::Gone { .. } => Kind::StreamMismatch,
            bus::BusError::Denied { .. } => Kind::BusCredentials,
            bus::BusError::Conflict { .. }
            | bus::BusError::Unclear { .. }
            | bus::BusError::Invalid(_) => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}
