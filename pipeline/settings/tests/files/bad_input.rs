//! Whatever is wrong is named by file, line, column and kind, all of it at once.

use crate::folder::{Folder, GOOD_RULE};
use settings::Kind;

/// A rule file `alerts/bad.yml` beside the good ones.
pub fn rule(text: impl AsRef<[u8]>) -> Folder {
    Folder::new().with("alerts/bad.yml", text)
}

/// The good rule with one line more, which is its sixth.
pub fn line(text: &str) -> Folder {
    rule(format!("{GOOD_RULE}{text}\n"))
}

/// Exactly this one problem in `alerts/bad.yml`.
#[track_caller]
pub fn assert_one(folder: &Folder, at: &str, kind: Kind) {
    assert_eq!(folder.refused(), vec![(format!("alerts/bad.yml:{at}"), kind)]);
}

#[test]
fn a_wrong_value_is_found_where_it_stands() {
    for (text, at, kind) in [
        ("for: \"3 min\"", "6:6", Kind::BadDuration),
        ("for: 180", "6:6", Kind::BadDuration),
        ("for: -3m", "6:6", Kind::BadDuration),
        ("for: 31d", "6:6", Kind::OutOfRange),
        ("treshold: 5", "6:1", Kind::UnknownField),
        ("metric: twice", "6:1", Kind::DuplicateKey),
        ("recover: 2000", "6:10", Kind::WrongSide),
        ("recover: \"900\"", "6:10", Kind::WrongType),
        ("recover: .nan", "6:10", Kind::OutOfRange),
        ("recover: 1e400", "6:10", Kind::OutOfRange),
        ("stat: p0", "6:7", Kind::BadValue),
        ("stat: p100.1", "6:7", Kind::BadValue),
        ("stat: pNaN", "6:7", Kind::BadValue),
        ("stat: average", "6:7", Kind::BadValue),
        ("compare: \"=>\"", "6:10", Kind::BadValue),
        ("min_samples: 0", "6:14", Kind::OutOfRange),
        ("min_samples: -1", "6:14", Kind::OutOfRange),
        ("min_samples: 1.5", "6:14", Kind::OutOfRange),
        ("min_samples: yes", "6:14", Kind::WrongType),
        ("share: 0.5", "6:8", Kind::Conflict),
        ("severity: very bad", "6:11", Kind::BadName),
        ("group_by: [a, b, a]", "6:18", Kind::DuplicateName),
        ("group_by: [1a]", "6:12", Kind::BadName),
        ("labels: {team: 7}", "6:16", Kind::WrongType),
        ("labels: {9team: x}", "6:10", Kind::BadName),
        ("unit:", "6:1", Kind::MissingField),
        ("unit: \"\"", "6:7", Kind::BadValue),
        ("name: [a]", "6:7", Kind::WrongType),
        ("no_data: ignore", "6:10", Kind::BadValue),
        ("mode: shadows", "6:7", Kind::BadValue),
        ("guards: {dry_run: true}", "6:9", Kind::Conflict),
        ("action: RESTART", "6:9", Kind::BadValue),
        ("action: ROLLBACK:UNDONE", "6:9", Kind::UnknownPlan),
        ("7: 8", "6:1", Kind::WrongType),
        ("severity: {warning: 500, critical: 1000}", "2:12", Kind::Conflict),
        ("severity: [warning]", "6:11", Kind::WrongType),
        ("action_severity: critical", "6:18", Kind::Conflict),
        ("where: 5", "6:8", Kind::WrongType),
        ("where: service", "6:8", Kind::BadValue),
        ("where: {service: 5}", "6:18", Kind::WrongType),
        ("where: {9service: x}", "6:9", Kind::BadName),
        ("where: '9service=\"x\"'", "6:8", Kind::BadName),
        ("where: [a=\"b\", 'c=~\"(d\"']", "6:16", Kind::BadPattern),
        ("where: 'a=~\"(x{1000}){1000}\"'", "6:8", Kind::TooLarge),
        ("where: []", "6:8", Kind::Empty),
    ] {
        println!("{text}");
        assert_one(&line(text), at, kind);
    }
}

#[test]
fn what_a_rule_needs_is_asked_for() {
    let missing = |line: &str| rule(GOOD_RULE.replace(line, ""));
    assert_one(&missing("metric: county_api_ms\n"), "1:1", Kind::MissingField);
    assert_one(&missing("threshold: 1000\n"), "1:1", Kind::MissingField);
    assert_one(&missing("window: 3m\n"), "1:1", Kind::MissingField);
    assert_one(&line("stat: above"), "1:1", Kind::MissingField);
}

#[test]
fn thresholds_and_windows_have_their_form() {
    let changed = |from: &str, to: &str| rule(GOOD_RULE.replace(from, to));
    assert_one(&changed("1000", "\"1000 ms\""), "2:12", Kind::WrongType);
    assert!(changed("1000", "\"1000 ms\"").remedy().contains("write 1000,"));
    assert_one(&changed("1000", "true"), "2:12", Kind::WrongType);
    assert_one(&changed("3m", "\"3 min\""), "3:9", Kind::BadDuration);
    assert_eq!(changed("3m", "\"3 min\"").remedy(), "write 3m");
    assert_one(&changed("3m", "999ms"), "3:9", Kind::OutOfRange);
    assert_one(&changed("3m", "31d"), "3:9", Kind::OutOfRange);
    assert_one(&changed("3m", "400000w"), "3:9", Kind::BadDuration);
    assert_one(&changed("county_api_ms", "county..ms"), "1:9", Kind::BadName);
    assert_one(&changed("county_api_ms", "\"a b\""), "1:9", Kind::BadName);
    assert!(changed("1000", "1000\nrecover: 900\nstat: p99.9").load().is_ok());
    assert!(changed("1000", "1000\nrecover: 1100\ncompare: \"<\"").load().is_ok());
    assert_one(&changed("1000", "1000\nrecover: 900\ncompare: \"<\""), "3:10", Kind::WrongSide);
    assert_one(&changed("1000", "1000\nrecover: 900\ncompare: \"==\""), "3:10", Kind::Conflict);
}

#[test]
fn a_plan_name_that_could_be_a_path_or_a_command_is_refused() {
    for name in ["../../x", "a/b", "a;reboot", "$(id)", "`id`", "a b", "", ".", "UNDO\\n", "ü", "*"]
    {
        assert_one(&line(&format!("action: \"ROLLBACK:{name}\"")), "6:9", Kind::BadName);
    }
    let remedy = line("action: \"ROLLBACK:../../x\"").remedy();
    assert!(remedy.contains("letters, digits, _ and - only"), "{remedy}");
}

#[test]
fn a_slip_of_the_hand_is_told_what_was_meant() {
    for (text, meant) in [
        ("treshold: 5", "did you mean \"threshold\"?"),
        ("stat: maen", "did you mean \"mean\"?"),
        ("action: ROLLBACK:UNDOO", "did you mean \"UNDO\"?"),
        ("guards: {unles: good}\naction: ROLLBACK:UNDO", "did you mean \"unless\"?"),
        ("guards: {unless: god}\naction: ROLLBACK:UNDO", "did you mean \"good\"?"),
    ] {
        assert_eq!(line(text).remedy(), meant);
    }
    let receiver = GOOD_RULE.replace("oncall@opm.gov", "pagerduty");
    assert_one(&rule(&receiver), "4:9", Kind::UnknownReceiver);
    assert_eq!(rule(&receiver).remedy(), "did you mean \"pager_duty\"?");
}

#[test]
fn files_that_are_no_settings_are_refused() {
    assert_one(&rule(""), "1:1", Kind::Empty);
    assert_one(&rule("# only\n\n# comments\n"), "1:1", Kind::Empty);
    assert_one(&rule("just text"), "1:1", Kind::WrongType);
    assert_one(&rule("[1, 2]"), "1:1", Kind::WrongType);
    assert_one(&rule("rules: 7"), "1:8", Kind::WrongType);
    assert_one(&rule("metric: a\n  b: c\n"), "2:4", Kind::NotYaml);
    assert_one(&rule("metric: \"a\nthreshold: 1\n"), "1:9", Kind::NotYaml);
    assert_one(&rule("a: 1\n---\nb: 2\n"), "2:1", Kind::NotYaml);
    assert_one(&rule(b"metric: caf\xe9_ms\n"), "1:12", Kind::NotUtf8);
    assert_one(&rule(b"a: 1\nb: \x00\xff\n"), "2:5", Kind::NotUtf8);
    let large = format!("# {}\n{GOOD_RULE}", "x".repeat(256 * 1024));
    assert_eq!(rule(large).refused(), vec![("alerts/bad.yml".to_owned(), Kind::TooLarge)]);
}

#[test]
fn a_problem_is_one_line_as_people_write_them() {
    let shown = |folder: &Folder| folder.load().expect_err("must be refused").to_string();
    assert_eq!(
        shown(&rule(GOOD_RULE.replace("3m", "\"3 min\""))),
        "alerts/bad.yml:3:9: window \"3 min\" is not a duration: write 3m"
    );
    assert_eq!(
        shown(&rule("metric: a: b\n")),
        "alerts/bad.yml:1:10: not YAML (mapping values are not allowed in this context): \
         mend the line, or the one before it; quote text with : # or *"
    );
}

#[test]
fn bombs_are_refused() {
    let mut aliases = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ["b", "c", "d", "e", "f", "g", "h"].iter().zip('a'..) {
        let list = vec![format!("*{before}"); 9].join(", ");
        aliases.push_str(&format!("{name}: &{name} [{list}]\n"));
    }
    assert_one(&rule(aliases), "1:7", Kind::Alias);
    assert_one(&rule("a: *nobody\n"), "1:4", Kind::Alias);
    let kinds = |text: String| rule(text).refused()[0].1;
    assert_eq!(kinds("[".repeat(100_000)), Kind::TooComplex);
    assert_eq!(kinds("{a: ".repeat(50_000)), Kind::TooComplex);
    assert_eq!(kinds("- ".repeat(100_000)), Kind::TooComplex);
    assert_eq!(kinds(format!("labels: [{}]", "1,".repeat(120_000))), Kind::TooComplex);
    assert_eq!(kinds("<<: {metric: a}\n".to_owned()), Kind::UnknownField);
}

#[test]
fn more_rules_than_a_bus_takes_are_refused() {
    let text = "\"".repeat(200 << 10);
    let file = |folder: Folder, n| {
        let rule = format!("{GOOD_RULE}annotations: {{text: '{text}'}}\n");
        folder.with(&format!("alerts/rule_{n}.yml"), rule)
    };
    let folder = (0..70).fold(Folder::new(), file);
    assert_eq!(folder.refused(), vec![("alerts".to_owned(), Kind::TooLarge)]);
    assert!(folder.remedy().contains("write fewer rules"));
}

#[test]
fn two_rules_of_one_name_are_named_with_both_places() {
    let folder = Folder::new().with("alerts/a/good.yml", GOOD_RULE);
    let problems = folder.load().expect_err("must be refused");
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 1, "{problems}");
    assert!(lines[0].starts_with("alerts/good.yml:1:1: "), "{}", lines[0]);
    assert!(lines[0].contains("alerts/a/good.yml:1:1"), "{}", lines[0]);
}

#[test]
fn all_problems_of_all_files_come_at_once() {
    let folder = Folder::new()
        .with("alerts/one.yml", "metric: a\nthreshold: x\nwindow: 3 min\ncolour: red\n")
        .with("alerts/two.yml", "not: [closed\n")
        .with("deploy/plans/UNDO/plan.yml", "script: ../undo.sh\ntimeout: 0s\nverify: {}\n")
        .with("config/ops.yml", "workers: many\n")
        .with("config/roster.yml", "people: {anna: {name: Anna}}\n");
    let found = folder.refused();
    let at = |place: &str, kind: Kind| {
        assert!(found.contains(&(place.to_owned(), kind)), "{place} {kind:?} in {found:#?}");
    };
    at("alerts/one.yml:2:12", Kind::WrongType);
    at("alerts/one.yml:3:9", Kind::BadDuration);
    at("alerts/one.yml:4:1", Kind::UnknownField);
    at("alerts/two.yml:1:6", Kind::NotYaml);
    at("config/ops.yml:1:10", Kind::WrongType);
    at("config/roster.yml:1:16", Kind::MissingField);
    at("deploy/plans/UNDO/plan.yml:1:9", Kind::BadName);
    at("deploy/plans/UNDO/plan.yml:2:10", Kind::OutOfRange);
    let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert!(places.is_sorted_by_key(|place| place.split(':').next().unwrap_or_default()));
}

#[test]
fn a_rule_of_a_list_is_found_by_its_own_place() {
    let text = "rules:\n  - name: a\n    metric: m\n    threshold: 1\n    window: 1m\n    \
                notify: a@b.c\n    runbook: http://x\n  - metric: n\n    threshold: 1\n    window: 5\n";
    let errors: Vec<_> = rule(text).refused();
    assert!(errors.contains(&("alerts/bad.yml:8:5".to_owned(), Kind::MissingField)), "{errors:?}");
    assert!(errors.contains(&("alerts/bad.yml:10:13".to_owned(), Kind::BadDuration)), "{errors:?}");
}

#[test]
fn plans_are_checked_with_their_scripts() {
    let plan = |text: &str| Folder::new().with("deploy/plans/UNDO/plan.yml", text);
    let at = |folder: Folder, place: &str, kind: Kind| {
        assert_eq!(folder.refused(), vec![(format!("deploy/plans/{place}"), kind)]);
    };
    let good = "script: undo.sh\nverify: {settle: 1s}\n";
    at(plan("script: gone.sh\nverify: {settle: 1s}"), "UNDO/plan.yml:1:9", Kind::BadScript);
    at(plan("script: undo.sh -f\nverify: {settle: 1s}"), "UNDO/plan.yml:1:9", Kind::BadName);
    at(plan("script: ..\nverify: {settle: 1s}"), "UNDO/plan.yml:1:9", Kind::BadName);
    at(plan(good).mode("deploy/plans/UNDO/undo.sh", 0o644), "UNDO/plan.yml:1:9", Kind::BadScript);
    at(plan("verify: {settle: 1s}"), "UNDO/plan.yml:1:1", Kind::MissingField);
    at(plan(""), "UNDO/plan.yml:1:1", Kind::Empty);
    at(plan(&format!("{good}lock_after: no\n")), "UNDO/plan.yml:3:13", Kind::WrongType);
    at(plan("script: undo.sh\nverify: {for: 6m}"), "UNDO/plan.yml:2:9", Kind::Conflict);
    at(plan(good).with("deploy/plans/a b/plan.yml", good), "a b", Kind::BadName);
    at(plan(good).with("deploy/plans/BARE/undo.sh", ""), "BARE/plan.yml", Kind::Unreadable);
}

#[test]
fn secrets_are_never_inline_and_never_shown() {
    let inline = "receivers:\n  p:\n    channels:\n      - {kind: pager_duty, key: hunter2}\n\
                  fallback: a@b.c\n";
    let folder = Folder::new().with("config/receivers.yml", inline);
    assert_eq!(
        folder.refused(),
        vec![("config/receivers.yml:4:33".to_owned(), Kind::InlineSecret)]
    );
    let text = folder.load().expect_err("refused").to_string();
    assert!(!text.contains("hunter2") && text.contains("key_file: <path>"), "{text}");
    for (text, at) in [
        ("bus: {url: \"nats://u:hunter2@h:4222\"}", "1:12"),
        ("bus: {user: u, password: hunter2}", "1:26"),
        ("token: hunter2", "1:8"),
        ("public_url: https://u:hunter2@h", "1:13"),
    ] {
        let folder = Folder::new().with("config/ops.yml", text);
        assert_eq!(folder.refused(), vec![(format!("config/ops.yml:{at}"), Kind::InlineSecret)]);
        assert!(!folder.load().expect_err("refused").to_string().contains("hunter2"));
    }
}

#[test]
fn the_network_is_not_listened_to_without_a_token() {
    let open = "listen: [\"127.0.0.1:0\", \"0.0.0.0:9900\"]\n";
    let folder = Folder::new().with("config/ops.yml", open);
    assert_eq!(folder.refused(), vec![("config/ops.yml:1:25".to_owned(), Kind::Unprotected)]);
    assert!(folder.load_in(&[("OPS_TOKEN_FILE", "token")]).is_ok());
    let place = "environment variable OPS_LISTEN".to_owned();
    let refused = Folder::new().refused_in(&[("OPS_LISTEN", "[::]:9900")]);
    assert_eq!(refused, vec![(place.clone(), Kind::Unprotected)]);
    let refused = Folder::new().refused_in(&[("OPS_LISTEN", "localhost")]);
    assert_eq!(refused, vec![(place, Kind::BadValue)]);
}

#[test]
fn a_wrong_variable_is_named() {
    let refused = |name: &str, value: &str| Folder::new().refused_in(&[(name, value)]);
    for (name, value, kind) in [
        ("OPS_WORKERS", "many", Kind::WrongType),
        ("OPS_SHARDS", "0", Kind::OutOfRange),
        ("OPS_ROLES", "engine,bord", Kind::BadValue),
        ("OPS_PREFIX", "a..b", Kind::BadName),
        ("OPS_NATS_URL", "localhost", Kind::BadValue),
    ] {
        assert_eq!(refused(name, value), vec![(format!("environment variable {name}"), kind)]);
    }
}

#[test]
fn receivers_are_checked() {
    let receivers = |text: &str| Folder::new().with("config/receivers.yml", text);
    for (text, at, kind) in [
        ("fallback: nobody", "1:11", Kind::UnknownReceiver),
        ("fallback: a@b.c\nreceivers: {r: {}}", "2:16", Kind::MissingField),
        ("fallback: a@b.c\nreceivers: {r: {channels: []}}", "2:27", Kind::WrongType),
        ("fallback: a@b.c\nreceivers: {r: {channels: [{kind: sms}]}}", "2:35", Kind::BadValue),
        (
            "fallback: a@b.c\nreceivers: {r: {channels: [{kind: email, to: x}]}}",
            "2:46",
            Kind::BadValue,
        ),
        (
            "fallback: a@b.c\nreceivers: {r: {channels: [{kind: webhook}]}}",
            "2:28",
            Kind::MissingField,
        ),
        (
            "fallback: a@b.c\nreceivers: {r: {channels: [{kind: webhook, url: \"ftp://x\"}]}}",
            "2:49",
            Kind::BadValue,
        ),
        (
            "fallback: a@b.c\nreceivers: {oncall@opm.gov: {channels: [{kind: email, to: a@b.c}]}}",
            "2:13",
            Kind::DuplicateName,
        ),
        (
            "fallback: a@b.c\nreceivers: {r: {channels: [{kind: email, to: a@b.c}], \
             budget: {burst: 2, reserve: 2}}}",
            "2:63",
            Kind::Conflict,
        ),
    ] {
        println!("{text}");
        assert_eq!(receivers(text).refused(), vec![(format!("config/receivers.yml:{at}"), kind)]);
    }
}

#[test]
fn who_names_something_wrong_is_not_blamed_too() {
    let folder = Folder::new()
        .with("alerts/good.yml", GOOD_RULE.replace("oncall@opm.gov", "[anna, p]"))
        .with("alerts/more.yml", format!("{GOOD_RULE}action: ROLLBACK:UNDO\n"))
        .with("config/roster.yml", "people: {anna: {email: nowhere}}\n")
        .with("config/receivers.yml", "fallback: a@b.c\nreceivers: {p: 7}\n")
        .with("deploy/plans/UNDO/plan.yml", "[]");
    let expected = [
        ("config/receivers.yml:2:16", Kind::WrongType),
        ("config/roster.yml:1:24", Kind::BadValue),
        ("deploy/plans/UNDO/plan.yml:1:1", Kind::WrongType),
    ];
    assert_eq!(folder.refused(), expected.map(|(place, kind)| (place.to_owned(), kind)));
}

#[test]
fn a_rule_does_not_guard_itself() {
    let folder = line("guards: {unless: bad}\naction: ROLLBACK:UNDO");
    assert_one(&folder, "6:18", Kind::Conflict);
}

#[test]
fn the_bus_is_entered_one_way() {
    let both = "bus: {user: u, password_env: P, credentials_file: c}\n";
    let folder = Folder::new().with("config/ops.yml", both);
    assert_eq!(folder.refused(), vec![("config/ops.yml:1:6".to_owned(), Kind::Conflict)]);
    let both = "bus: {credentials_file: c, keys_folder: k}\n";
    let folder = Folder::new().with("config/ops.yml", both);
    assert_eq!(folder.refused(), vec![("config/ops.yml:1:6".to_owned(), Kind::Conflict)]);
    let twice = "token_env: T\ntoken_file: t\n";
    let folder = Folder::new().with("config/ops.yml", twice);
    assert_eq!(folder.refused(), vec![("config/ops.yml:1:12".to_owned(), Kind::Conflict)]);
    let folder = Folder::new().with("config/ops.yml", "token_env: T\n");
    assert!(folder.load_in(&[("OPS_TOKEN_FILE", "t")]).is_ok());
}

#[test]
fn no_more_workers_than_the_dataflow_takes() {
    let most = stages::dataflow::WORKERS_MAX;
    let with = |workers| Folder::new().with("config/ops.yml", format!("workers: {workers}\n"));
    for workers in [0, most + 1] {
        let expected = vec![("config/ops.yml:1:10".to_owned(), Kind::OutOfRange)];
        assert_eq!(with(workers).refused(), expected, "{workers}");
    }
    assert!(with(most).load().is_ok());
}

#[test]
fn a_mail_server_is_spoken_to_in_a_way_that_exists() {
    for (said, at, kind) in [
        ("tls: off", "1:46", Kind::BadValue),
        ("tls: null", "1:41", Kind::MissingField),
        ("tls: none, ca_file: ca.pem", "1:61", Kind::Conflict),
        ("ca_file: 7", "1:50", Kind::WrongType),
    ] {
        let text = format!("notify: {{smtp: {{host: mail.example.org, {said}}}}}\n");
        let folder = Folder::new().with("config/ops.yml", text);
        assert_eq!(folder.refused(), vec![(format!("config/ops.yml:{at}"), kind)], "{said}");
    }
}

#[test]
fn a_folder_in_place_of_a_file_is_named() {
    let folder = Folder::new().with("config/x", "");
    std::fs::remove_file(folder.path().join("config/roster.yml")).expect("removes");
    std::fs::create_dir(folder.path().join("config/roster.yml")).expect("creates");
    assert_eq!(folder.refused(), vec![("config/roster.yml".to_owned(), Kind::Unreadable)]);
}
