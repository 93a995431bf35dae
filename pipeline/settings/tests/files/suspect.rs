//! Rules that cannot be meant are pointed out, and only those.

use crate::folder::{Folder, GOOD_RULE};
use settings::Kind;

/// Place and kind of every warning of a rule with these lines more, or instead of its threshold.
fn warned(text: &str) -> Vec<(String, Kind)> {
    let rule = if text.contains("threshold:") {
        GOOD_RULE.replace("threshold: 1000\n", "")
    } else {
        GOOD_RULE.to_owned()
    };
    let folder = Folder::new().with("alerts/good.yml", format!("{rule}{text}\n"));
    let loaded = folder.load().unwrap_or_else(|problems| panic!("{problems}"));
    let found = loaded.warnings.iter();
    found.map(|warning| (warning.place.to_string(), warning.kind)).collect()
}

#[test]
fn a_condition_nothing_can_meet_is_pointed_out() {
    for (text, at) in [
        ("stat: above\nshare: 1", "7:8"),
        ("stat: below\nshare: 0\ncompare: \"<\"", "7:8"),
        ("stat: count\ncompare: \"==\"\nthreshold: 0", "7:12"),
        ("stat: count\ncompare: \"<\"\nthreshold: 1", "7:12"),
        ("stat: count\ncompare: \"<\"\nmin_samples: 50\nthreshold: 50", "8:12"),
        ("stat: stddev\ncompare: \"<\"\nthreshold: 0", "7:12"),
        ("stat: p99\nthreshold: 1e12", "6:12"),
    ] {
        let at = format!("alerts/good.yml:{at}");
        assert_eq!(warned(text), [(at, Kind::NeverFires)], "{text}");
    }
}

#[test]
fn a_condition_everything_meets_is_pointed_out() {
    for (text, at) in [
        ("stat: count\ncompare: \">=\"\nthreshold: 0", "7:12"),
        ("stat: count\ncompare: \">=\"\nthreshold: 1", "7:12"),
        ("stat: count\nmin_samples: 9\nthreshold: 8", "7:12"),
        ("stat: stddev\ncompare: \">=\"\nthreshold: 0", "7:12"),
        ("stat: above\nshare: 0\ncompare: \">=\"", "7:8"),
        ("stat: below\nshare: 1\ncompare: \"<=\"", "7:8"),
        ("stat: count\ncompare: \"!=\"\nthreshold: 0", "7:12"),
    ] {
        let at = format!("alerts/good.yml:{at}");
        assert_eq!(warned(text), [(at, Kind::AlwaysFires)], "{text}");
    }
}

#[test]
fn what_depends_on_the_data_is_nobodys_business() {
    for text in [
        "stat: count\nthreshold: 0\ncompare: \">\"\nmin_samples: 1\nabsent: 5m",
        "stat: count\ncompare: \"<\"\nthreshold: 2",
        "stat: count\ncompare: \"==\"\nthreshold: 0\nno_data: alert",
        "stat: above\nshare: 0.99",
        "stat: stddev\nthreshold: 0",
        "stat: min\nthreshold: -1e300",
        "compare: \"==\"\nthreshold: 0",
    ] {
        assert_eq!(warned(text), [], "{text}");
    }
}

/// What is said of a rule with these lines for its condition.
fn said(condition: &str) -> Vec<String> {
    let rule = GOOD_RULE.replace("metric: county_api_ms\n", "").replace("threshold: 1000\n", "");
    let rule = rule.replace("window: 3m\n", "");
    let folder = Folder::new().with("alerts/good.yml", format!("{condition}{rule}"));
    let loaded = folder.load().unwrap_or_else(|problems| panic!("{problems}"));
    loaded.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_condition_that_decides_nothing_beside_others_is_pointed_out() {
    let count = "{metric: calls, stat: count, threshold: 0, compare: \">=\", window: 1m}";
    let slow = |more: &str| format!("{{metric: api_ms, window: 5m, {more}}}");
    for (conditions, wanted) in [
        (
            vec![slow("threshold: 800"), count.to_owned()],
            "condition \"calls\" of rule \"good\" is always met",
        ),
        (
            vec![slow("threshold: 800"), slow("stat: above, threshold: 9, share: 1")],
            "condition \"api_ms\" of rule \"good\" can never be met: a share lies between 0 and 1",
        ),
        (
            vec![slow("threshold: 800"), slow("threshold: 300, compare: \"<\"")],
            "two conditions of \"api_ms\" are never met at once",
        ),
        (
            vec![slow("threshold: 800"), slow("threshold: 800, compare: \"==\"")],
            "two conditions of \"api_ms\" are never met at once",
        ),
    ] {
        let found = said(&format!("all: [{}]\n", conditions.join(", ")));
        assert!(found.len() == 1 && found[0].contains(wanted), "{found:?}");
    }
    for fine in [
        format!("all: [{}, {}]\n", slow("threshold: 800"), slow("threshold: 900, compare: \"<\"")),
        format!("any: [{}, {}]\n", slow("threshold: 800"), slow("threshold: 300, compare: \"<\"")),
        format!(
            "all: [{}, {}]\n",
            slow("threshold: 800"),
            slow("stat: max, threshold: 300, compare: \"<\"")
        ),
    ] {
        assert_eq!(said(&fine), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn a_quotient_of_counts_that_is_always_beyond_is_pointed_out() {
    let ratio = "metric: errors / requests\nwindow: 5m\nthreshold: 0\n";
    let found = said(&format!("{ratio}stat: count\ncompare: \"<\"\n"));
    assert!(
        found.len() == 1 && found[0].contains("can never fire: the quotient is at least 0"),
        "{found:?}"
    );
    assert_eq!(said(&format!("{ratio}stat: count\n")), Vec::<String>::new());
    assert_eq!(said(&format!("{ratio}stat: sum\ncompare: \"<\"\n")), Vec::<String>::new());
}

#[test]
fn a_receiver_nobody_stands_behind_is_pointed_out() {
    let found = |notify: &str| -> Vec<String> {
        let rule = GOOD_RULE.replace("notify: oncall@opm.gov", notify);
        let folder = Folder::new().with("config/receivers.yml", "fallback: oncall@opm.gov\n");
        let loaded = folder.with("alerts/good.yml", rule).load();
        let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
        loaded.warnings.iter().map(ToString::to_string).collect()
    };
    let warned = found("notify: oncall@opm.gov");
    assert!(
        warned.len() == 1 && warned[0].contains("where that fails, nobody is told"),
        "{warned:?}"
    );
    for fine in ["notify: anna@example.org", "notify: [oncall@opm.gov, anna@example.org]"] {
        assert_eq!(found(fine), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn two_rules_that_do_the_same_are_pointed_out_at_the_second() {
    let equal = format!("name: other\n{GOOD_RULE}unit: s\nannotations: {{summary: slow}}\n");
    let folder = Folder::new().with("alerts/late.yml", &equal);
    let loaded = folder.load().expect("loads");
    let found: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["alerts/late.yml:1:1: warning: rule \"other\" does exactly what \"good\" at \
          alerts/good.yml:1:1 does: remove one of them, or change what it watches or whom it tells"]
    );
    for different in [
        "for: 1s",
        "severity: warning",
        "group_by: [region]",
        "guards: {dry_run: true}\naction: ROLLBACK:UNDO",
    ] {
        let folder = Folder::new().with("alerts/late.yml", format!("{equal}{different}\n"));
        assert!(folder.load().expect("loads").warnings.is_empty(), "{different}");
    }
}

#[test]
fn a_shadow_that_should_hold_something_back_is_pointed_out() {
    let acts = format!("{GOOD_RULE}action: ROLLBACK:UNDO\nguards: {{unless: down}}\n");
    let down = GOOD_RULE.replace("county_api_ms", "site_down");
    let folder = Folder::new().with("alerts/good.yml", acts).with("alerts/down.yml", &down);
    assert!(folder.load().expect("loads").warnings.is_empty());
    let folder = folder.with("alerts/down.yml", format!("{down}mode: shadow\n"));
    let warnings = folder.load().expect("loads").warnings;
    let found: Vec<_> = warnings.iter().map(|it| (it.place.to_string(), it.kind)).collect();
    assert_eq!(found, [("alerts/good.yml:7:18".to_owned(), Kind::Conflict)]);
}
