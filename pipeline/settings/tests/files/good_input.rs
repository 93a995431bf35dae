//! What is written well means what `semantics` says.

use crate::folder::{Folder, GOOD_RULE};
use proptest::prelude::*;
use settings::{
    Endpoint, Kind, Layout, Loaded, Role, Secret, Severity, Tls, load_with, revision_of,
};
use stages::settings::{Action, Compare, Guards, Mode, NoData, Rule, Settings, Stat};
use stages::time::Span;
use std::collections::BTreeMap;
use std::path::Path;

/// The files of this project, as they are committed.
fn project() -> Loaded {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    load_with(&Layout::at(root), |_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

pub fn rule_of(text: &str) -> Rule {
    let folder = Folder::new().with("alerts/good.yml", text);
    let loaded = folder.load().unwrap_or_else(|problems| panic!("{problems}"));
    (*loaded.settings.rules[0]).clone()
}

#[test]
fn the_committed_rule_has_all_defaults() {
    let loaded = project();
    let minutes = |count: i64| Span::from_secs(60 * count);
    let expected = Rule {
        name: "county_api".into(),
        metric: "county_api_ms".into(),
        matchers: Vec::new(),
        any_of: Vec::new(),
        group_by: vec![],
        stat: Stat::Mean,
        compare: Compare::Greater,
        threshold: 1000.0,
        share: None,
        window: minutes(3),
        hold: Span::ZERO,
        recover: None,
        keep_firing_for: Span::ZERO,
        reopen_within: Span::ZERO,
        min_samples: 1,
        fresh_for: minutes(1),
        gap_tolerance: minutes(1),
        no_data: NoData::Keep,
        keep_max: minutes(15),
        absent: None,
        flap_window: minutes(60),
        severity: "critical".into(),
        grades: Vec::new(),
        action_severity: None,
        unit: None,
        action: Some(Action::Rollback("DOCKET_RULE".into())),
        action_min_samples: 10,
        guards: Guards::default(),
        runbook: Some("wiki/slow-county-api".into()),
        notify: vec!["oncall@opm.gov".into(), "pager_duty".into()],
        repeat: minutes(240),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        mode: Mode::Live,
        hours: None,
    };
    let rule = loaded.settings.rules.iter().find(|rule| rule.name == "county_api").expect("there");
    assert_eq!(**rule, expected);
}

#[test]
fn the_committed_files_give_no_warning() {
    let loaded = project();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!(loaded.settings.fallback_receiver.as_deref(), Some("oncall@opm.gov"));
    let names: Vec<&str> = loaded.settings.receivers.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["oncall@opm.gov", "pager_duty"]);
    assert_eq!(loaded.settings.receivers[1].channels, ["pager_duty"]);
    let key = Secret::Env("OPS_PAGERDUTY_KEY".into());
    let url = settings::PAGER_DUTY_URL.to_owned();
    assert_eq!(loaded.endpoints["pager_duty"], [Endpoint::PagerDuty { key, url }]);
    let plan = &loaded.settings.plans[0];
    assert_eq!(
        (plan.name.as_str(), plan.script.as_str()),
        ("DOCKET_RULE", "rollback_docket_rule.sh")
    );
    assert_eq!((plan.cooldown, plan.lock_after), (Span::from_secs(30), None));
}

#[test]
fn the_committed_configuration_is_the_default() {
    let folder = Folder::new().with("config/ops.yml", "");
    let committed = project();
    let mut default = folder.load().expect("loads");
    default.ops.data = committed.ops.data.clone();
    assert_eq!(committed.ops, default.ops);
    assert_eq!(committed.settings.limits, default.settings.limits);
    assert_eq!(committed.settings.limits, stages::settings::Limits::default());
    let listen: Vec<String> = default.ops.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["127.0.0.1:9900", "[::1]:9900"]);
}

#[test]
fn short_windows_keep_their_least_times() {
    let rule = rule_of(&GOOD_RULE.replace("3m", "10s"));
    assert_eq!(rule.fresh_for, Span::from_secs(10));
    assert_eq!(rule.gap_tolerance, Span::from_millis(3_333));
    let json = serde_json::to_vec(&rule).expect("serialises");
    assert_eq!(serde_json::from_slice::<Rule>(&json).expect("reads"), rule);
    let long = rule_of(&GOOD_RULE.replace("3m", "30d"));
    assert_eq!(long.flap_window, Span::from_secs(600 * 86_400));
}

#[test]
fn every_field_of_a_rule_is_read() {
    let text = "name: slow\nmetric: county.api_ms\nthreshold: 1.5e3\nwindow: 10m\nstat: above\nshare: 0.25\n\
        compare: \">=\"\nrecover: 0.1\nfor: 1m\nkeep_firing_for: 2m\nreopen_within: 5m\nmin_samples: 20\n\
        fresh_for: 30s\ngap_tolerance: 1m\nno_data: alert\nkeep_max: 1h\nabsent: 20m\nflap_window: 2h\n\
        severity: warning\ngroup_by: [service, region]\nunit: ms\nlabels: {team: courts}\n\
        annotations: {summary: Slow}\naction: ROLLBACK:UNDO\naction_min_samples: 50\n\
        guards: {changed_within: 30m, unless: down, approve: required, dry_run: true}\n\
        runbook: https://example.org\nnotify: anna@opm.gov\nrepeat: 1h\n";
    let folder = Folder::new().with("alerts/good.yml", text).with("alerts/down.yml", GOOD_RULE);
    let loaded = folder.load().unwrap_or_else(|problems| panic!("{problems}"));
    let rule = (*loaded.settings.rules[1]).clone();
    let seconds = Span::from_secs;
    assert_eq!((rule.name.as_str(), rule.metric.as_str()), ("slow", "county.api_ms"));
    assert_eq!((rule.threshold, rule.share, rule.recover), (1500.0, Some(0.25), Some(0.1)));
    assert_eq!((rule.stat, rule.compare), (Stat::Above, Compare::GreaterEqual));
    assert_eq!((rule.window, rule.hold), (seconds(600), seconds(60)));
    assert_eq!((rule.keep_firing_for, rule.reopen_within), (seconds(120), seconds(300)));
    assert_eq!((rule.min_samples, rule.action_min_samples), (20, 50));
    assert_eq!((rule.fresh_for, rule.gap_tolerance), (seconds(30), seconds(60)));
    assert_eq!((rule.no_data, rule.keep_max), (NoData::Alert, seconds(3600)));
    assert_eq!((rule.absent, rule.flap_window), (Some(seconds(1200)), seconds(7200)));
    assert_eq!((rule.severity.as_str(), rule.unit.as_deref()), ("warning", Some("ms")));
    assert_eq!(rule.group_by, ["service", "region"]);
    assert_eq!(rule.labels["team"], "courts");
    assert_eq!(rule.annotations["summary"], "Slow");
    let guards = Guards {
        changed_within: Some(seconds(1800)),
        unless: Some("down".into()),
        approve: true,
        dry_run: true,
    };
    assert_eq!(rule.guards, guards);
    assert_eq!((rule.notify, rule.repeat), (vec!["anna@opm.gov".to_owned()], seconds(3600)));
}

#[test]
fn files_of_other_editors_are_read() {
    let dos = GOOD_RULE.replace('\n', "\r\n");
    assert_eq!(rule_of(&dos), rule_of(GOOD_RULE));
    assert_eq!(rule_of(&format!("\u{feff}{GOOD_RULE}")), rule_of(GOOD_RULE));
}

#[test]
fn percentiles_are_read_with_their_fraction() {
    for (text, rank) in [("p95", 95.0), ("p99.9", 99.9), ("p100", 100.0), ("p0.1", 0.1)] {
        let rule = rule_of(&format!("{GOOD_RULE}stat: {text}\n"));
        assert_eq!(rule.stat, Stat::Percentile(rank));
    }
}

#[test]
fn a_rule_about_absence_needs_no_threshold() {
    let rule = rule_of("metric: m\nabsent: 5m\nnotify: a@b.c\n");
    assert_eq!((rule.absent, rule.window), (Some(Span::from_secs(300)), Span::from_secs(300)));
}

#[test]
fn names_resolve_to_people_receivers_and_plain_addresses() {
    let folder = Folder::new()
        .with("config/roster.yml", "people:\n  anna: {name: Anna, email: anna@opm.gov}\n")
        .with(
            "alerts/good.yml",
            GOOD_RULE.replace("oncall@opm.gov", "[anna@opm.gov, anna, pager_duty, x@y.z, x@y.z]"),
        );
    let loaded = folder.load().expect("loads");
    assert_eq!(loaded.settings.rules[0].notify, ["anna", "pager_duty", "x@y.z"]);
    assert_eq!(loaded.endpoints["x@y.z"], [Endpoint::Email { to: vec!["x@y.z".into()] }]);
    assert_eq!(loaded.endpoints["anna"], [Endpoint::Email { to: vec!["anna@opm.gov".into()] }]);
    let receivers: Vec<&str> = loaded.settings.receivers.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(receivers, ["anna", "pager_duty", "x@y.z"]);
}

#[test]
fn tests_and_hidden_files_are_not_rules() {
    let folder = Folder::new()
        .with("alerts/good.test.yml", "nonsense")
        .with("alerts/_draft.yml", "nonsense")
        .with("alerts/_drafts/x.yml", "nonsense")
        .with("alerts/.x.yml", "nonsense")
        .with(
            "alerts/deep/er/more.yml",
            "rules:\n  - {name: one, metric: m, threshold: 1, window: 1m}\n",
        )
        .with("alerts/other.yaml", "nonsense")
        .with("alerts/deep/_default.yml", "severity: warning\n");
    let loaded = folder.load().expect("loads");
    let names: Vec<&str> = loaded.settings.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["good", "one"]);
    let kinds: Vec<Kind> = loaded.warnings.iter().map(|warning| warning.kind).collect();
    assert_eq!(kinds, [Kind::NotRead, Kind::NoRunbook, Kind::NoReceiver, Kind::NotRead]);
    assert!(loaded.warnings.iter().all(|warning| warning.severity == Severity::Warning));
}

#[test]
fn what_works_but_is_thin_is_a_warning() {
    let folder = Folder::new()
        .with("config/receivers.yml", "")
        .with("deploy/plans/UNDO/plan.yml", "script: undo.sh\n")
        .with("alerts/good.yml", GOOD_RULE.replace("https://example.org/fix", "wiki/none"));
    let warnings = folder.load().expect("loads").warnings;
    let found: Vec<(String, Kind)> =
        warnings.iter().map(|warning| (warning.place.to_string(), warning.kind)).collect();
    assert_eq!(
        found,
        [
            ("alerts/good.yml:5:10".to_owned(), Kind::NoRunbook),
            ("config/receivers.yml".to_owned(), Kind::NoFallback),
            ("deploy/plans/UNDO/plan.yml:1:1".to_owned(), Kind::NoVerify),
        ]
    );
    let json = serde_json::to_value(&warnings).expect("serialises");
    assert_eq!(json[0]["file"], "alerts/good.yml");
    assert_eq!((&json[0]["line"], &json[0]["column"]), (&5.into(), &10.into()));
    assert_eq!((&json[0]["severity"], &json[0]["kind"]), (&"warning".into(), &"no_runbook".into()));
    assert!(json[0]["message"].is_string() && json[0]["remedy"].is_string());
}

#[test]
fn settings_read_back_as_they_are_written() {
    let settings = project().settings;
    let json = serde_json::to_vec(&settings).expect("serialises");
    assert_eq!(serde_json::from_slice::<Settings>(&json).expect("reads"), settings);
}

#[test]
fn a_revision_names_the_content_and_nothing_else() {
    let settings = project().settings;
    assert_eq!(settings.revision.len(), 16);
    assert_eq!(settings.revision, project().settings.revision);
    let signed =
        Settings { author: "anna".into(), comment: "calm down".into(), ..settings.clone() };
    assert_eq!(revision_of(&signed), settings.revision);
    let fewer = Settings { rules: vec![], ..settings.clone() };
    assert_ne!(revision_of(&fewer), settings.revision);
}

#[test]
fn variables_override_the_file() {
    let folder = Folder::new().with("config/ops.yml", "workers: 2\nbus: {shards: 4, prefix: a}\n");
    let loaded = folder
        .load_in(&[
            ("OPS_LISTEN", "127.0.0.1:1, [::1]:2"),
            ("OPS_DATA", "/elsewhere"),
            ("OPS_ROLES", "engine,board"),
            ("OPS_WORKERS", "8"),
            ("OPS_SHARDS", "16"),
            ("OPS_NATS_URL", "nats://bus:4222"),
            ("OPS_SMTP_HOST", "mail.example.org"),
            ("OPS_SMTP_TLS", "tls"),
            ("OPS_SMTP_CA_FILE", "ca.pem"),
            ("OPS_TOKEN_FILE", "token"),
        ])
        .unwrap_or_else(|problems| panic!("{problems}"));
    let ops = loaded.ops;
    assert_eq!((ops.workers, ops.bus.shards, ops.bus.prefix.as_str()), (8, 16, "a"));
    assert_eq!(ops.roles.into_iter().collect::<Vec<_>>(), [Role::Engine, Role::Board]);
    assert_eq!(ops.data, Path::new("/elsewhere"));
    assert_eq!(ops.bus.url.as_deref(), Some("nats://bus:4222"));
    assert_eq!(ops.listen.len(), 2);
    assert_eq!(ops.token, Some(Secret::File(folder.path().join("token"))));
    let smtp = ops.notify.smtp.expect("there");
    assert_eq!((smtp.host.as_str(), smtp.port, smtp.tls), ("mail.example.org", 465, Tls::Tls));
    assert_eq!(smtp.authorities, Some(folder.path().join("ca.pem")));
}

#[test]
fn mail_goes_by_starttls_unless_another_word_says_otherwise() {
    let smtp = |more: &str| {
        let text = format!("notify: {{smtp: {{host: mail.example.org{more}}}}}\n");
        let folder = Folder::new().with("config/ops.yml", text);
        let loaded = folder.load().unwrap_or_else(|problems| panic!("{problems}"));
        let smtp = loaded.ops.notify.smtp.expect("there");
        let authorities =
            smtp.authorities.map(|file| file.strip_prefix(folder.path()).unwrap().to_owned());
        (smtp.tls, smtp.port, authorities)
    };
    assert_eq!(smtp(""), (Tls::StartTls, 587, None));
    assert_eq!(smtp(", tls: none"), (Tls::None, 25, None));
    let ca = Some("secrets/ca.pem".into());
    assert_eq!(smtp(", tls: tls, ca_file: secrets/ca.pem"), (Tls::Tls, 465, ca.clone()));
    assert_eq!(smtp(", port: 2525, ca_file: secrets/ca.pem"), (Tls::StartTls, 2525, ca));
}

#[test]
fn an_empty_folder_loads_with_defaults() {
    let dir = tempfile::tempdir().expect("a folder");
    let loaded = load_with(&Layout::at(dir.path()), |_| None).expect("loads");
    assert!(loaded.settings.rules.is_empty());
    assert_eq!(loaded.ops.bus.prefix, "ops");
}

#[test]
fn a_secret_is_the_first_line_of_its_file() {
    let folder = Folder::new().with("key", "hunter2\n# not this\n").with("none", "\n");
    let read = |name: &str| Secret::File(folder.path().join(name)).read();
    assert_eq!(read("key").expect("reads").as_deref(), Some("hunter2"));
    assert!(read("none").is_err() && read("gone").is_err());
    assert_eq!(Secret::Env("OPS_NO_SUCH_VARIABLE".into()).read().expect("reads"), None);
}

/// Pieces that make near-misses of rule files.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "metric: ",
            "threshold: ",
            "window: ",
            "3m",
            "1000",
            "\n",
            "  ",
            "- ",
            ": ",
            "[",
            "]",
            "{",
            "}",
            "\"",
            "'",
            "&a ",
            "*a",
            "!!str ",
            "|",
            ">",
            "#",
            "---\n",
            "rules:\n",
            "notify: ",
            "action: \"ROLLBACK:",
            "guards: ",
            "~",
            "? ",
            "<<: ",
            "\t",
            "\u{feff}",
            "é",
            "-.inf",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in pieces()) {
        let folder = Folder::new()
            .with("alerts/any.yml", &bytes)
            .with("config/ops.yml", &bytes)
            .with("config/roster.yml", &bytes)
            .with("config/receivers.yml", &bytes)
            .with("deploy/plans/UNDO/plan.yml", &bytes);
        if let Err(problems) = folder.load() {
            prop_assert!(problems.errors() > 0);
            prop_assert!(problems.to_string().lines().count() == problems.len());
        }
    }
}
