//! What a rule looks at and when that is a breach: matchers, severities, ratios, several conditions, baselines, promises.

use crate::bad_input::{assert_one, line, rule};
use crate::folder::{Folder, GOOD_RULE};
use crate::good_input::rule_of;
use settings::Kind;
use stages::matcher::Matcher;
use stages::settings::{Compare, Rule, Stat};
use stages::time::Span;

#[test]
fn several_severities_take_the_place_of_the_threshold() {
    let rule = |fields: &str| rule_of(&GOOD_RULE.replace("threshold: 1000", fields));
    let grades = |rule: &Rule| -> Vec<(String, f64)> {
        rule.grades.iter().map(|grade| (grade.severity.clone(), grade.bound)).collect()
    };
    let graded = rule("severity: {warning: 500, critical: 1000}");
    assert_eq!((graded.threshold, graded.severity.as_str()), (500.0, "warning"));
    assert_eq!(grades(&graded), [("warning".to_owned(), 500.0), ("critical".to_owned(), 1000.0)]);
    assert!(graded.acts_at("critical") && !graded.acts_at("warning"));
    let below = rule(
        "severity: {warning: 50, critical: 10}\ncompare: \"<\"\nrecover: 60\n\
        action: ROLLBACK:UNDO\naction_severity: warning",
    );
    assert!(below.acts_at("critical") && below.acts_at("warning"));
    let share = rule("stat: above\nthreshold: 800\nseverity: {warning: 0.1, critical: 0.3}");
    assert_eq!((share.threshold, share.share), (800.0, Some(0.1)));
}

/// What a rule needs besides its condition, to be without warnings.
const TAIL: &str = "notify: oncall@opm.gov\nrunbook: https://example.org/fix\n";

#[test]
fn a_ratio_is_a_rule_of_one_term() {
    let rule = rule_of(&format!(
        "metric: errors / requests\nthreshold: 0.05\nwindow: 5m\nmin_samples: 100\n\
         where: {{region: eu}}\nseverity: critical\n{TAIL}"
    ));
    let term = rule.lone_term().expect("a ratio");
    assert_eq!((term.metric.as_str(), term.per.as_deref()), ("errors", Some("requests")));
    assert_eq!((rule.metric.as_str(), term.stat, term.min_samples), ("errors", Stat::Sum, 100));
    assert_eq!((term.threshold, term.window), (0.05, Span::from_secs(300)));
    assert_eq!(term.matchers, [Matcher::equal("region", "eu")]);
    let graded = rule_of(&format!(
        "metric: errors / requests\nwindow: 5m\nseverity: {{warning: 0.01, critical: 0.05}}\n{TAIL}"
    ));
    assert_eq!((graded.grades.len(), graded.threshold), (2, 0.01));
}

#[test]
fn conditions_are_joined_as_they_are_written() {
    let conditions = "  - {metric: a_ms, stat: p95, threshold: 800, window: 5m, where: {queue: x}}\n  \
        - {metric: b / c, threshold: 100, compare: \"<\", window: 10m, min_samples: 5}\n";
    let all =
        rule_of(&format!("all:\n{conditions}where: {{region: eu}}\ngroup_by: [service]\n{TAIL}"));
    assert_eq!((all.any_of.len(), all.any_of[0].len()), (1, 2));
    let [one, other] = &all.any_of[0][..] else { panic!("two conditions") };
    assert_eq!(one.matchers, [Matcher::equal("queue", "x"), Matcher::equal("region", "eu")]);
    assert_eq!(
        (other.shown().as_str(), other.compare, other.min_samples),
        ("b / c", Compare::Less, 5)
    );
    assert_eq!((all.metric.as_str(), all.window), ("a_ms", Span::from_secs(600)));
    let any = rule_of(&format!("any:\n{conditions}{TAIL}"));
    assert_eq!(any.any_of.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_baseline_is_compared_as_a_quotient() {
    let rule = rule_of(&format!(
        "metric: logins\nstat: count\nwindow: 10m\nbaseline: {{offset: 1w, ratio: \"<0.5\"}}\n{TAIL}"
    ));
    let term = rule.lone_term().expect("a baseline");
    assert_eq!((term.compare, term.threshold), (Compare::Less, 0.5));
    assert_eq!(term.baseline, Some(Span::from_secs(7 * 86_400)));
    assert_eq!(term.shown(), "logins against 7d earlier");
}

#[test]
fn a_promise_is_the_usual_pairs_of_burn_rates() {
    let text = format!(
        "metric: errors / requests\nslo: {{objective: 99.9, window: 30d}}\nmin_samples: 20\n\
         action: ROLLBACK:UNDO\n{TAIL}"
    );
    let loaded =
        Folder::new().with("alerts/good.yml", text).load().unwrap_or_else(|it| panic!("{it}"));
    let rules = &loaded.settings.rules;
    let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["good_page", "good_ticket"]);
    assert_eq!((rules[0].severity.as_str(), rules[1].severity.as_str()), ("critical", "warning"));
    assert!(rules[0].action.is_some() && rules[1].action.is_none());
    let pairs = |rule: &Rule| -> Vec<Vec<(i64, f64)>> {
        let of = |term: &stages::term::Term| (term.window.0 / 1_000_000_000, term.threshold);
        rule.any_of.iter().map(|list| list.iter().map(of).collect()).collect()
    };
    assert_eq!(
        pairs(&rules[0]),
        [[(3_600, 0.0144), (300, 0.0144)], [(21_600, 0.006), (1_800, 0.006)]]
    );
    assert_eq!(
        pairs(&rules[1]),
        [[(86_400, 0.003), (7_200, 0.003)], [(259_200, 0.001), (21_600, 0.001)]]
    );
    assert!(rules.iter().flat_map(|rule| rule.terms()).all(|term| term.min_samples == 20));
}

#[test]
fn all_forms_of_where_mean_the_same() {
    let rule = |text: &str| rule_of(&format!("{GOOD_RULE}where: {text}\n")).matchers;
    let expected = [Matcher::equal("region", "eu"), Matcher::equal("service", "courts")];
    for text in [
        "{service: courts, region: eu}",
        "'service=\"courts\", region=\"eu\"'",
        "'{region=\"eu\",service=\"courts\",region=\"eu\"}'",
        "[service=\"courts\", region='eu']",
    ] {
        assert_eq!(rule(text), expected, "{text}");
    }
    let shown: Vec<String> =
        rule("'a!=\"b\", c=~\"d|e\", f!~\".+\"'").iter().map(Matcher::to_string).collect();
    assert_eq!(shown, ["a!=\"b\"", "c=~\"d|e\"", "f!~\".+\""]);
}

#[test]
fn a_pattern_is_bounded_and_its_fault_is_named() {
    let long = format!("where: 'a=~\"{}\"'", "x".repeat(1_001));
    assert_one(&line(&long), "6:8", Kind::TooLarge);
    let many: Vec<String> = (0..33).map(|n| format!("l{n}: x")).collect();
    assert_one(&line(&format!("where: {{{}}}", many.join(", "))), "6:8", Kind::TooLarge);
    let problems = line("where: 'a=\"b\", c=~\"x(\"'").load().expect_err("no pattern");
    let text = problems.to_string();
    assert!(text.contains("at \"c=~\\\"x(\\\"\"") && text.contains("unclosed group"), "{text}");
}

#[test]
fn several_severities_have_their_order() {
    let graded = |text: &str| rule(GOOD_RULE.replace("threshold: 1000", text));
    for (text, at, kind) in [
        ("severity: {}", "2:11", Kind::OutOfRange),
        ("severity: {critical: 1000, warning: 500}", "2:11", Kind::WrongSide),
        ("severity: {warning: 500, critical: 500}", "2:11", Kind::WrongSide),
        ("severity: {warning: 500, critical: 1000}\ncompare: \"<\"", "2:11", Kind::WrongSide),
        ("severity: {warning: 500, critical: 1000}\ncompare: \"==\"", "2:11", Kind::Conflict),
        ("severity: {warning: 500, critical: \"1000\"}", "2:36", Kind::WrongType),
        ("severity: {very bad: 500}", "2:12", Kind::BadName),
        ("severity: {warning: 500, warning: 600}", "2:26", Kind::DuplicateKey),
        ("severity: {warning: 500, critical: 1000}\nrecover: 501", "3:10", Kind::WrongSide),
        ("severity: {a: 1, b: 2}\nabsent: 5m", "2:11", Kind::Conflict),
        ("severity: {a: 0.5, b: 2}\nstat: above\nthreshold: 9", "2:11", Kind::OutOfRange),
        ("severity: {a: 0.5}\nstat: above\nthreshold: 9\nshare: 0.1", "5:8", Kind::Conflict),
        ("severity: {a: 0.1, b: 0.5}\nstat: above", "1:1", Kind::MissingField),
        ("severity: {a: 1, b: 2}\naction_severity: a", "3:18", Kind::Conflict),
        (
            "severity: {a: 1, b: 2}\naction: ROLLBACK:UNDO\naction_severity: c",
            "4:18",
            Kind::BadValue,
        ),
    ] {
        println!("{text}");
        assert_one(&graded(text), at, kind);
    }
    let loaded = graded("severity: {warning: 500, critical: 1000}\nrecover: 450").load();
    assert!(loaded.is_ok());
}

#[test]
fn conditions_over_several_metrics_are_checked() {
    let tail = "notify: oncall@opm.gov\nrunbook: https://example.org/fix\n";
    let written = |text: &str| rule(format!("{text}\n{tail}"));
    let ratio = |text: &str| written(&format!("metric: errors / requests\nwindow: 5m\n{text}"));
    let all =
        |text: &str| written(&format!("all:\n  - {{metric: a, threshold: 1, window: 5m}}\n{text}"));
    let baseline = |text: &str| written(&format!("metric: a\nwindow: 5m\nbaseline: {text}"));
    for (folder, at, kind) in [
        (ratio(""), "1:1", Kind::MissingField),
        (ratio("threshold: 0.1\nstat: above\nshare: 0.1"), "4:7", Kind::Conflict),
        (ratio("threshold: 0.1\nabsent: 5m"), "4:9", Kind::Conflict),
        (written("metric: a / b / c\nthreshold: 1\nwindow: 5m"), "1:9", Kind::BadValue),
        (written("metric: a / a\nthreshold: 1\nwindow: 5m"), "1:9", Kind::Conflict),
        (written("metric: a / 9b\nthreshold: 1\nwindow: 5m"), "1:9", Kind::BadName),
        (written("all: []"), "1:6", Kind::OutOfRange),
        (written("any: yes please"), "1:6", Kind::WrongType),
        (written("any:\n  - metric"), "2:5", Kind::WrongType),
        (written("any:\n  - {metric: a, window: 5m}"), "2:5", Kind::MissingField),
        (
            written("any:\n  - {metric: a, threshold: 1, window: 5m, absent: 5m}"),
            "2:43",
            Kind::UnknownField,
        ),
        (
            written("any:\n  - {metric: a, threshold: 1, window: 5m, recover: 2}"),
            "2:52",
            Kind::WrongSide,
        ),
        (all("any:\n  - {metric: b, threshold: 1, window: 5m}"), "4:3", Kind::Conflict),
        (all("metric: a"), "3:9", Kind::Conflict),
        (all("threshold: 5"), "3:12", Kind::Conflict),
        (all("severity: {warning: 1, critical: 2}"), "3:11", Kind::Conflict),
        (baseline("{offset: 1w}"), "3:11", Kind::MissingField),
        (baseline("{offset: 1w, ratio: 2}"), "3:31", Kind::WrongType),
        (baseline("{offset: 1w, ratio: twice}"), "3:31", Kind::BadValue),
        (baseline("{offset: 1w, ratio: \">-1\"}"), "3:31", Kind::BadValue),
        (baseline("{offset: 32d, ratio: \">2\"}"), "3:20", Kind::OutOfRange),
        (baseline("{offset: 1w, ratio: \">2\"}\nthreshold: 2"), "4:12", Kind::Conflict),
        (baseline("{offset: 1w, ratio: \">2\"}\nstat: p95"), "4:7", Kind::Conflict),
        (baseline("{offset: 1w, ratio: \">2\", unit: x}"), "3:37", Kind::UnknownField),
    ] {
        assert_one(&folder, at, kind);
    }
}

#[test]
fn metrics_of_several_shards_are_joined() {
    let text = "metric: errors / requests\nthreshold: 0.1\nwindow: 5m\nnotify: oncall@opm.gov\n\
        runbook: https://example.org/fix\n";
    let several = rule(text).with("config/ops.yml", "bus: {shards: 8}\n").load().unwrap();
    let rule = &several.settings.rules[0];
    assert!(rule.is_apart(&stages::subject::Subjects::default(), 8), "the desk judges it");
    assert!(!rule.is_apart(&stages::subject::Subjects::default(), 1));
}

#[test]
fn a_promise_is_checked() {
    let tail = "notify: oncall@opm.gov\nrunbook: https://example.org/fix\n";
    let written = |text: &str| rule(format!("metric: errors / requests\n{text}\n{tail}"));
    for (text, at, kind) in [
        ("slo: {objective: 99.9}", "2:6", Kind::MissingField),
        ("slo: {window: 30d}", "2:6", Kind::MissingField),
        ("slo: {objective: 100, window: 30d}", "2:18", Kind::OutOfRange),
        ("slo: {objective: 90, window: 30d}", "2:18", Kind::OutOfRange),
        ("slo: {objective: 99.9, window: 1d}", "2:32", Kind::OutOfRange),
        ("slo: {objective: 99.9, window: 30d}\nwindow: 5m", "3:9", Kind::Conflict),
        ("slo: {objective: 99.9, window: 30d}\nseverity: warning", "3:11", Kind::Conflict),
        ("slo: {objective: 99.9, window: 30d}\nstat: mean", "3:7", Kind::Conflict),
    ] {
        println!("{text}");
        assert_one(&written(text), at, kind);
    }
    let text = format!("metric: errors\nslo: {{objective: 99.9, window: 30d}}\n{tail}");
    assert_one(&rule(text), "1:9", Kind::Conflict);
    assert_eq!(written("slo: {objective: 90, window: 30d}").remedy(), "write more than 93.1");
}

/// The rules of the last block of "Conditions", as they are written there.
#[test]
fn the_examples_of_the_readme_are_rules() {
    let readme = include_str!("../../../../alerts/README.md");
    let section = readme.split("## Conditions").nth(1).expect("a section");
    let section = section.split("## Editors").next().expect("its end");
    let mut read = 0;
    for block in section.split("```yaml").skip(1) {
        let block = block.split("```").next().expect("a block");
        for text in block.split("---\n") {
            let whole = text.contains("metric:");
            // The first blocks are lines of a rule, one of them in two ways.
            let lines: Vec<String> = match (whole, text.contains("where:")) {
                (true, _) => vec![text.to_owned()],
                (false, true) => {
                    let ways = text.trim().lines();
                    ways.map(|way| format!("metric: a\nthreshold: 1\nwindow: 5m\n{way}\n"))
                        .collect()
                }
                (false, false) => vec![format!("metric: a\nwindow: 5m\n{text}")],
            };
            for text in lines {
                let folder = Folder::new().with("alerts/example.yml", format!("{text}{TAIL}"));
                let loaded = folder.load().unwrap_or_else(|problems| panic!("{text}: {problems}"));
                let names = loaded.settings.rules.iter().map(|rule| rule.name.as_str());
                read += names.filter(|name| *name != "good").count();
            }
        }
    }
    assert_eq!(read, 2 + 1 + 5, "two ways of where, severities, three rules and a promise");
}
