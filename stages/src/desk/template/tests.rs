use super::*;

fn labels() -> BTreeSet<&'static str> {
    BTreeSet::from(["team", "region"])
}

#[test]
fn what_is_wrong_is_found_with_its_place() {
    for (text, at, message) in [
        ("a {{ vlaue }}", 5, "vlaue is not known"),
        ("value {{ value }} {{ labels.tem }}", 21, "labels.tem is not known"),
        ("{% if nothing %}{{ value }}{% endif %}", 6, "nothing is not known"),
        ("{{ value | shout }}", 11, "filter shout is not known"),
        (
            "{% if count > 9 %}{{ 1 }}{{ value | shout }}{% endif %}",
            36,
            "filter shout is not known",
        ),
        ("{{ 1 if count > 9 is odd }}", 21, "test odd is not known"),
        (
            "{% if count > 9 %}{{ \"x\".strip() }}{% endif %}",
            25,
            "nothing can be called here, and method strip is",
        ),
        (
            "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
            31,
            "nothing can be called here, and function loop is",
        ),
        ("{{ value", 3, "syntax error: unexpected end of input, expected end of variable block"),
        ("{{ value.ms }}", 3, "value.ms is not known"),
        ("{{ range(9) }}", 3, "range is not known"),
        ("{{ \"x\" * 100000000 }}", 3, "it takes more than 20000 steps or bytes to fill in"),
        ("{{ labels['tem'] }}", 3, "labels['tem'] is not known"),
        (
            "{% if count > 9 %}{{ (value)() }}{% endif %}",
            22,
            "nothing can be called here, and function value is",
        ),
        (
            "{% if count > 9 %}{{ [1][0](2) }}{% endif %}",
            27,
            "nothing can be called here, and something is",
        ),
        (
            "{% if count > 9 %}{% filter shout %}{{ 1 }}{% endfilter %}{% endif %}",
            28,
            "filter shout is not known",
        ),
        ("{{ 1 }}{% macro a() %}{% endmacro %}", 10, "syntax error: unknown statement macro"),
    ] {
        let found = check(text, &labels()).unwrap_err();
        assert_eq!((found.message.as_str(), found.offset), (message, at), "{text}");
    }
}

#[test]
fn what_is_right_passes() {
    for text in [
        "{{ metric }} is at {{ reading }}, {{ limit }} over {{ window }} ({{ labels.team | upper }})",
        "{% if value > 2 * threshold %}far{% else %}just{% endif %} {{ value | plain }} {{ unit }}",
        "{{ value / 60 }} min {{ labels.region | default(\"-\") }} {{ count }} {{ level | round(2) }}",
    ] {
        assert_eq!(check(text, &labels()), Ok(()), "{text}");
    }
}

#[test]
fn a_text_that_would_eat_memory_runs_out_of_fuel() {
    let text =
        format!("{{{{ 1 }}}}{{% set a = \"xxxxxxxxxx\" %}}{}", "{% set a = a ~ a %}".repeat(40));
    let found = check(&text, &labels()).unwrap_err();
    assert!(found.message.contains("more than 20000 steps"), "{found:?}");
}

#[test]
fn whatever_the_check_lets_through_by_name_can_be_run() {
    for (name, _) in FILTERS {
        let arguments = if name == "replace" { "(\"a\", \"b\")" } else { "" };
        assert_eq!(check(&format!("{{{{ rule | {name}{arguments} }}}}"), &labels()), Ok(()));
    }
    for (name, _) in TESTS {
        assert_eq!(check(&format!("{{{{ value is {name} }}}}"), &labels()), Ok(()), "{name}");
    }
}

#[test]
fn a_branch_that_is_never_taken_is_checked_as_well() {
    let within = |inner: &str| format!("{{% if severity == \"never\" %}}{inner}{{% endif %}}");
    assert_eq!(check(&within("{{ value | round(1) is defined }}"), &labels()), Ok(()));
    for inner in ["{{ value | odd }}", "{{ value is odd }}", "{{ value.odd() }}", "{{ odd }}"] {
        check(&within(inner), &labels()).unwrap_err();
    }
}
