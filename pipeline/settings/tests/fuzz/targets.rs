//! The files people edit, each in its turn made of what comes.

use crate::mutate::Target;
use settings::Layout;
use std::path::{Path, PathBuf};

/// All of them.
#[allow(dead_code, reason = "tests name them one by one; the guided fuzzer looks for one here")]
pub const ALL: [fn() -> Target; 5] = [rules, plans, receivers, the_roster, the_process];

const PLAN: &str = "deploy/plans/DOCKET_RULE/plan.yml";

/// A rule with every field there is, so that all of them are met.
const RULE: &str = "metric: m_ms\nname: all\ngroup_by: [court, pod]\nstat: p99\ncompare: \">\"\nthreshold: 1.5e3\nwindow: 3m\nfor: 10s\n\
    recover: 900\nkeep_firing_for: 1m\nreopen_within: 30s\nmin_samples: 3\nfresh_for: 1m\nno_data: keep\nseverity: critical\nunit: ms\n\
    action: ROLLBACK:DOCKET_RULE\naction_min_samples: 5\nguards: {approve: true}\nrunbook: wiki/a\nnotify: [a@b.org]\nrepeat: 1h\n\
    labels: {team: x}\nannotations: {why: \"because\"}\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The project's own settings, with one file of them replaced by what comes.
fn file(name: &'static str, file: &str, more: &[&str]) -> Target {
    let folder = tempfile::tempdir().unwrap();
    for one in [
        "config/ops.yml",
        "config/receivers.yml",
        "config/roster.yml",
        "alerts/county_api.yml",
        PLAN,
    ] {
        let to = folder.path().join(one);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(root().join(one), to).unwrap();
    }
    let layout = Layout {
        root: folder.path().to_owned(),
        alerts: folder.path().join("alerts"),
        plans: folder.path().join("deploy/plans"),
        config: folder.path().join("config"),
    };
    let mut corpus = vec![std::fs::read(root().join(file)).unwrap()];
    corpus.extend(more.iter().map(|text| text.as_bytes().to_vec()));
    let replaced = folder.path().join(file);
    Target::new(name, 3_000, corpus, move |bytes| {
        // The folder lives as long as what writes into it.
        let _ = &folder;
        std::fs::write(&replaced, bytes).unwrap();
        match settings::load_with(&layout, |_| None) {
            Ok(loaded) => assert!(!settings::revision_of(&loaded.settings).is_empty()),
            Err(problems) => assert!(!problems.to_string().is_empty()),
        }
    })
}

pub fn rules() -> Target {
    file("rule", "alerts/county_api.yml", &[RULE])
}

pub fn plans() -> Target {
    file(
        "plan",
        PLAN,
        &[
            "script: a.sh\ncooldown: 1h\nlock_after: 2\nverify: {settle: 1s, for: 5s, within: 1m, min_samples: 3}\n",
        ],
    )
}

pub fn receivers() -> Target {
    let all = "fallback: a\nreceivers:\n  a:\n    channels: [{kind: webhook, url: \"http://x/y\"}]\n    budget: {burst: 3}\n";
    file("receivers", "config/receivers.yml", &[all])
}

pub fn the_roster() -> Target {
    file("roster", "config/roster.yml", &[])
}

pub fn the_process() -> Target {
    file(
        "ops",
        "config/ops.yml",
        &["bus: {url: nats://a:4222, user: u, password_env: P}\nlisten: [\"[::1]:1\"]\n"],
    )
}
