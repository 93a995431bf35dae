//! Calendars as people write them, and what is wrong with them.

use crate::folder::{Folder, GOOD_RULE};
use settings::Kind;
use stages::calendar::{Active, Clock, Day};

fn with(calendar: &str) -> Folder {
    Folder::new()
        .with("alerts/good.yml", format!("{GOOD_RULE}hours: office\n"))
        .with("config/calendars.yml", format!("calendars:\n  office:\n{calendar}"))
}

#[test]
fn a_calendar_is_read_as_it_is_meant() {
    let folder = with(
        "    zone: America/New_York\n    active:\n    - {days: [fri-mon, wed], from: 8:00, to: \"18:00\"}\n    \
         - {from: \"22:00\", to: \"06:00\"}\n    holidays: [2027-01-01, 2026-12-25, 2027-01-01]\n",
    );
    let settings = folder.load().unwrap_or_else(|problems| panic!("{problems}")).settings;
    assert_eq!(settings.rules[0].hours.as_deref(), Some("office"));
    let [calendar] = settings.calendars.as_slice() else { panic!("{:?}", settings.calendars) };
    assert_eq!(calendar.zone, "America/New_York");
    let days = vec![Day::Mon, Day::Wed, Day::Fri, Day::Sat, Day::Sun];
    assert_eq!(
        calendar.active,
        [
            Active { days, from: Clock(480), to: Clock(1080) },
            Active { days: Day::ALL.to_vec(), from: Clock(1320), to: Clock(360) },
        ]
    );
    assert_eq!(calendar.holidays, ["2026-12-25", "2027-01-01"]);
}

#[test]
fn what_is_wrong_is_found_where_it_stands() {
    let active = "    active: [{}]\n";
    for (calendar, at, kind) in [
        ("    zone: America/NewYork\n    active: [{}]\n", "3:11", Kind::UnknownZone),
        (active, "3:5", Kind::MissingField),
        ("    zone: UTC\n", "3:5", Kind::MissingField),
        ("    zone: UTC\n    active: []\n", "4:13", Kind::OutOfRange),
        ("    zone: UTC\n    active: mon\n", "4:13", Kind::WrongType),
        ("    zone: UTC\n    active: [{days: monday}]\n", "4:21", Kind::BadValue),
        ("    zone: UTC\n    active: [{days: [mon, fri-x]}]\n", "4:27", Kind::BadValue),
        ("    zone: UTC\n    active: [{from: \"8\"}]\n", "4:21", Kind::BadValue),
        ("    zone: UTC\n    active: [{to: \"24:30\"}]\n", "4:19", Kind::BadValue),
        ("    zone: UTC\n    active: [{from: \"08:00\", to: \"08:00\"}]\n", "4:34", Kind::Conflict),
        ("    zone: UTC\n    active: [{}]\n    holidays: [2026-02-30]\n", "5:16", Kind::BadValue),
        ("    zone: UTC\n    active: [{}]\n    holiday: [2026-02-03]\n", "5:5", Kind::UnknownField),
    ] {
        let place = format!("config/calendars.yml:{at}");
        assert_eq!(with(calendar).refused(), [(place, kind)], "{calendar}");
    }
    assert_eq!(
        with("    zone: America/NewYork\n    active: [{}]\n").remedy(),
        "did you mean \"America/New_York\"?"
    );
}

#[test]
fn a_calendar_nobody_wrote_is_named_with_the_nearest_one() {
    let folder = with("    zone: UTC\n    active: [{}]\n")
        .with("alerts/good.yml", format!("{GOOD_RULE}hours: ofice\n"));
    assert_eq!(folder.refused(), [("alerts/good.yml:6:8".to_owned(), Kind::UnknownCalendar)]);
    assert_eq!(folder.remedy(), "did you mean \"office\"?");
}

#[test]
fn a_site_without_calendars_has_the_revision_it_always_had() {
    let folder = Folder::new();
    let json = serde_json::to_string(&folder.load().expect("loads").settings).expect("serialises");
    assert!(
        !json.contains("calendars") && !json.contains("hours") && !json.contains("mode"),
        "{json}"
    );
}
