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
