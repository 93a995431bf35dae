//! Folders of files in, settings or problems out.

mod bad_input;
mod cases;
mod folder;
mod good_input;
