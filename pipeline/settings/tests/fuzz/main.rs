//! Whatever stands in the files people edit: they are taken or refused, and nothing panics.

#[path = "../../../../stages/tests/fuzz/mutate.rs"]
mod mutate;
mod targets;

use mutate::fuzz;

#[test]
fn rules() {
    fuzz(targets::rules());
}

#[test]
fn plans() {
    fuzz(targets::plans());
}

#[test]
fn receivers() {
    fuzz(targets::receivers());
}

#[test]
fn the_roster() {
    fuzz(targets::the_roster());
}

#[test]
fn the_process() {
    fuzz(targets::the_process());
}
