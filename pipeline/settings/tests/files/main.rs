//! Folders of files in, settings or problems out.

mod bad_fields;
mod bad_input;
mod calendars;
mod cases;
mod conditions;
mod defaults;
mod diff;
mod explain;
mod folder;
mod good_input;
mod prometheus;
mod suspect;
mod templates;
