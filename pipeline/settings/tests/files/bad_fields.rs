//! Bad input of every field of a rule, as somebody would write it, with the very words it is answered with.
//!
//! `tests/golden/bad/*.txt` hold blocks, an empty line between them: the text of `alerts/bad.yml`, and behind `=>` what is said
//! of it. A first line `+` stands for the good rule's five lines, `+ window` for those but the window, and `@ FILE` says
//! which file it is instead. `OPS_WRITE_GOLDEN=1` rewrites what is said; read the difference.

use crate::folder::{Folder, GOOD_RULE};
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bad").join(name)
}

/// What is said of a block's input. The good rule beside it is blamed for nothing.
fn answered(input: &str) -> String {
    let (file, text) = match input.strip_prefix("@ ") {
        Some(rest) => rest.split_once('\n').unwrap_or((rest, "")),
        None => ("alerts/bad.yml", input),
    };
    let text = match text.split_once('\n').unwrap_or((text, "")) {
        (first, rest) if first.starts_with('+') => {
            let without: Vec<&str> = first[1..].split_whitespace().collect();
            let of = |line: &&str| !without.iter().any(|field| line.starts_with(field));
            let good = GOOD_RULE.lines().filter(of).map(|line| format!("{line}\n"));
            good.collect::<String>() + rest + "\n"
        }
        _ => text.to_owned() + "\n",
    };
    let folder = Folder::new().with(file, text);
    let Err(problems) = folder.load() else { return "=> accepted\n".to_owned() };
    let lines = problems.iter().map(|problem| {
        let line = problem.to_string();
        assert!(line.starts_with(file), "{input}: blames another file: {line}");
        assert!(!line.contains('\n') && line.len() < 600, "one line each: {line}");
        format!("=> {line}\n")
    });
    lines.collect()
}

#[track_caller]
fn assert_golden(name: &str) {
    let text = std::fs::read_to_string(golden(name)).expect("a golden");
    let mut said = String::new();
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let lines: Vec<&str> = block.lines().filter(|line| !line.starts_with("=> ")).collect();
        let input = lines.join("\n");
        said.push_str(&format!("{input}\n{}\n", answered(&input)));
    }
    if std::env::var_os("OPS_WRITE_GOLDEN").is_some() {
        std::fs::write(golden(name), &said).expect("writes");
    }
    assert!(!said.contains("=> accepted"), "bad input is accepted: {said}");
    assert_eq!(said, std::fs::read_to_string(golden(name)).expect("a golden"));
}

#[test]
fn every_field_of_a_rule_names_what_is_wrong_with_it() {
    assert_golden("fields.txt");
}

#[test]
fn what_a_rule_looks_at_names_what_is_wrong_with_it() {
    assert_golden("conditions.txt");
}

#[test]
fn templates_name_what_is_wrong_with_them() {
    assert_golden("templates.txt");
}

#[test]
fn hours_and_defaults_name_what_is_wrong_with_them() {
    assert_golden("around.txt");
}
