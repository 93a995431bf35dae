//! The story of the README, as a person lives it: the built binary, a real NATS server, a real browser.

#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use support::browser::Browser;
use support::{Lab, PATIENCE, get_json, ops};

/// The brief's rule needs about 57 s to fire and 16 s to verify; the rest is for a busy machine.
const STORY_MAX: Duration = Duration::from_secs(170);

/// The clock in front of a line taken off: `[16:07] ALERT ...` -> `ALERT ...`.
fn told(line: &str) -> &str {
    let (clock, text) = line.split_once("] ").unwrap_or_else(|| panic!("no clock: {line}"));
    let digits = clock.trim_start_matches('[');
    assert!(digits.len() == 5 && digits.as_bytes()[2] == b':', "no clock: {line}");
    text
}

/// The whole number behind `prefix`, before ` ms`.
fn millis(text: &str, prefix: &str) -> u64 {
    let rest = text.strip_prefix(prefix).unwrap_or_else(|| panic!("{text:?} lacks {prefix:?}"));
    rest.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slow_county_api_is_seen_paged_rolled_back_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::start(folder.path()).await;
    let outbox = folder.path().join("outbox");
    let said = format!("mails and pages are written to {}: no mail server", outbox.display());
    lab.line(PATIENCE, |line| line.starts_with(&said)).await;
    let browser = Browser::start().await;
    browser.size(1440, 900).await;
    browser.open(&format!("{}/board/county_api_ms?window=5m", lab.url)).await;
    let data = folder.path().to_str().unwrap();
    let mut burst = ops(&["burst", "--url", &lab.url, "--data", data]).spawn().unwrap();

    let alert = lab.line(STORY_MAX, |line| line.contains("ALERT county_api_ms")).await;
    let exec = lab.line(STORY_MAX, |line| line.contains("EXEC")).await;
    let resolved = lab.line(STORY_MAX, |line| line.contains("ALERT_RESOLVED")).await;
    let alert = told(&alert);
    assert!(millis(alert, "ALERT county_api_ms ") > 1000, "the current level is shown: {alert}");
    assert!(alert.ends_with(" ms (threshold 1000)  → paging…"), "{alert}");
    assert_eq!(told(&exec), "EXEC  rollback_docket_rule.sh               → success");
    let resolved = told(&resolved);
    let level = millis(resolved, "ALERT_RESOLVED  county_api_ms back to ");
    assert!((90..200).contains(&level), "{resolved}");
    assert!(burst.wait().await.unwrap().success(), "the burst saw the recovery");
    let flag = std::fs::read_to_string(folder.path().join("docket_rule")).unwrap();
    assert_eq!(flag.trim(), "off", "the script flipped the flag");

    people_were_told(&lab).await;
    everything_happened_once(&lab).await;
    why_and_a_backtest_say_the_same(&lab, data).await;
    board_shows_spike_and_recovery(&browser, &lab).await;
    board_is_readable_everywhere(&browser, &lab).await;
    browser.close().await;
    assert!(lab.stop().await.success(), "stops in good order");
}

/// Mails and pages lie in the outbox as they would have been sent: fired and resolved, to both receivers.
async fn people_were_told(lab: &Lab) {
    let outbox = lab.data.join("outbox");
    let mut mails = Vec::new();
    let mut pages = Vec::new();
    let entries = std::fs::read_dir(&outbox).unwrap().map(|entry| entry.unwrap().path());
    // Names begin with the time.
    for path in entries.collect::<BTreeSet<_>>() {
        let text = std::fs::read_to_string(&path).unwrap();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("eml") => mails.push(text),
            Some("json") => pages.push(serde_json::from_str::<Value>(&text).unwrap()),
            _ => panic!("unexpected file {}", path.display()),
        }
    }
    let has = |word: &str| {
        mails.iter().any(|mail| mail.contains(word) && mail.contains("oncall@opm.gov"))
    };
    assert!(has("county_api_ms"), "{mails:#?}");
    assert!(mails.len() >= 2, "fired and resolved: {mails:#?}");
    // PagerDuty: one incident, by one key; what follows the page is an update of it, the last is the end.
    let keys: BTreeSet<&str> =
        pages.iter().map(|page| page["dedup_key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 1, "{pages:#?}");
    let actions: Vec<&str> =
        pages.iter().map(|page| page["event_action"].as_str().unwrap()).collect();
    assert_eq!(
        (actions.first(), actions.last()),
        (Some(&"trigger"), Some(&"resolve")),
        "{actions:?}"
    );
    assert_eq!(actions.iter().filter(|action| **action == "resolve").count(), 1, "{actions:?}");
}

/// One incident, one script start, each milestone once and in order.
async fn everything_happened_once(lab: &Lab) {
    let events = get_json(&format!("{}/api/events?metric=county_api_ms", lab.url)).await;
    let mut states: Vec<&str> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["state"].as_str().unwrap())
        .collect();
    states.reverse();
    let milestones = ["fired", "proposed", "running", "succeeded", "recovered", "resolved"];
    let seen: Vec<&str> =
        states.iter().copied().filter(|state| milestones.contains(state)).collect();
    assert_eq!(seen, milestones, "{states:?}");
    let lines = lab.printed.iter().filter(|line| line.contains("EXEC")).count();
    assert_eq!(lines, 1);
}

/// Asked afterwards, with nothing but the logs: why it fired, and what the rule would have done.
async fn why_and_a_backtest_say_the_same(lab: &Lab, data: &str) {
    let events = get_json(&format!("{}/api/events?metric=county_api_ms", lab.url)).await;
    let incident = events["events"][0]["incident"].as_str().unwrap().to_owned();
    let said = answer(&["why", &incident, "--data", data]).await;
    for words in ["ok -> firing: breach", "oncall@opm.gov fired", "DOCKET_RULE recovered"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(said.contains("log 0: ") && said.contains("say what was recorded"), "{said}");
    let said = answer(&["why", "--rule", "county_api", "--at", "now", "--data", data]).await;
    assert!(said.contains("  ok: ") && said.contains("recorded last: "), "{said}");
    let backtest = ["backtest", "alerts/county_api.yml", "--since", "1h", "--data", data];
    let said = answer(&[&backtest[..], &["--format", "json"]].concat()).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    let incidents = said["variants"][0]["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{said}");
    assert_eq!(incidents[0]["id"], incident, "the very incident");
}

async fn answer(args: &[&str]) -> String {
    let output = ops(args).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}{trouble}");
    said
}

async fn board_shows_spike_and_recovery(browser: &Browser, lab: &Lab) {
    let shown = "return document.body.innerText";
    for state in ["fired", "succeeded", "resolved"] {
        let script = format!("return !!document.querySelector('#events li[data-state={state}]')");
        browser.wait(&script, shown).await;
    }
    browser.wait("return document.getElementById('state').textContent === 'ok'", shown).await;
    browser.wait("return document.getElementById('live').textContent === 'live'", shown).await;
    let history = get_json(&format!("{}/api/metric/county_api_ms?window=15m", lab.url)).await;
    let column = |name: &str| -> Vec<f64> {
        history["panes"][name].as_array().unwrap().iter().filter_map(Value::as_f64).collect()
    };
    let (means, p99s, counts) = (column("mean"), column("p99"), column("count"));
    assert!(means.len() > 60, "a pane a second: {}", means.len());
    assert!(means.iter().any(|mean| *mean > 1400.0), "the spike: {means:?}");
    assert!(means.last().is_some_and(|mean| *mean < 200.0), "the recovery: {means:?}");
    assert!(p99s.len() > 60, "percentiles, since somebody looks: {}", p99s.len());
    assert!(counts.iter().sum::<f64>() > 500.0, "{counts:?}");
    assert_eq!(history["firing"].as_array().unwrap().len(), 1, "{}", history["firing"]);
    story_is_drawn(browser, lab, &history).await;
    // Something is drawn: the chart's canvas holds pixels in the colour of the mean.
    let drawn = browser.run(COLOURED).await;
    assert!(
        drawn.as_u64().is_some_and(|pixels| pixels > 200),
        "{drawn} pixels of the mean's colour"
    );
}

/// The chart's own list of what it drew: the threshold, the shaded time of firing, a mark for each milestone; and the
/// way to the runbook.
async fn story_is_drawn(browser: &Browser, lab: &Lab, history: &Value) {
    let list = "return [...document.querySelectorAll('#drawn li')]
        .map((one) => [one.dataset.drawn, one.dataset.at, one.textContent])";
    let drawn = browser.run(list).await;
    let of = |kind: &str| -> Vec<(&str, &str)> {
        let lines = drawn.as_array().unwrap().iter().filter(|line| line[0] == kind);
        lines.map(|line| (line[1].as_str().unwrap(), line[2].as_str().unwrap())).collect()
    };
    assert_eq!(of("threshold"), [("1000", "threshold 1000 ms")]);
    let one = |kind: &str| -> f64 {
        let [(at, text)] = of(kind)[..] else { panic!("one {kind}: {drawn}") };
        assert!(text.starts_with(&format!("{kind} at ")), "{text}");
        at.parse().unwrap()
    };
    let marks = ["ALERT", "EXEC", "RESOLVED"].map(one);
    assert!(marks.is_sorted(), "in the order of the story: {marks:?}");
    let [(shaded, _)] = of("firing")[..] else { panic!("one time of firing: {drawn}") };
    let (from, to) = shaded.split_once(' ').unwrap();
    let shaded = [from, to].map(|time| time.parse::<f64>().unwrap());
    let told = [&history["firing"][0]["from"], &history["firing"][0]["to"]];
    let told = told.map(|time| time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
    for (shaded, told) in shaded.iter().zip(told) {
        assert!((shaded - told.as_second() as f64).abs() < 1.01, "{shaded} for {told}");
    }
    assert_eq!(shaded[0], marks[0], "shaded from the alert on");

    let link = "return document.querySelector('#rules dd a').getAttribute('href')";
    let link = browser.run(link).await;
    assert_eq!(link, "/runbook/slow-county-api");
    let page = reqwest::get(format!("{}{}", lab.url, link.as_str().unwrap())).await.unwrap();
    let written = support::root().join("alerts/runbooks/slow-county-api.md");
    assert_eq!(page.text().await.unwrap(), std::fs::read_to_string(written).unwrap());
}

/// Pixels of the first chart that have the colour of the mean's line.
const COLOURED: &str = "
    const canvas = document.querySelector('#values canvas');
    const wanted = getComputedStyle(document.documentElement).getPropertyValue('--mean').trim();
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(wanted.slice(at, at + 2), 16));
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) {
        if (data[at + 3] > 200 && Math.abs(data[at] - r) < 12 && Math.abs(data[at + 1] - g) < 12
            && Math.abs(data[at + 2] - b) < 12) count += 1;
    }
    return count;";

async fn board_is_readable_everywhere(browser: &Browser, lab: &Lab) {
    let mut grounds = Vec::new();
    for (page, name) in [("/", "overview"), ("/d/board/county_api_ms?window=1h", "metric")] {
        for (width, scheme) in [(1440, "light"), (375, "light"), (375, "dark"), (1440, "dark")] {
            browser.size(width, 900).await;
            browser.prefer(scheme).await;
            browser.open(&format!("{}{page}", lab.url)).await;
            let shown = "return document.body.innerText";
            browser
                .wait("return document.getElementById('live').textContent === 'live'", shown)
                .await;
            browser.wait("return document.querySelectorAll('#events li').length > 0", shown).await;
            browser.picture(&format!("{name}-{width}-{scheme}")).await;
            let wide = browser.run("return document.documentElement.scrollWidth").await;
            assert!(wide.as_u64().unwrap() <= u64::from(width), "{page} at {width}: {wide} wide");
            grounds
                .push(browser.run("return getComputedStyle(document.body).backgroundColor").await);
            let outside = "return performance.getEntriesByType('resource')
                .filter((one) => new URL(one.name).origin !== location.origin).map((one) => one.name)";
            assert_eq!(
                browser.run(outside).await,
                Value::Array(vec![]),
                "no request leaves the machine"
            );
        }
    }
    assert_ne!(grounds[0], grounds[3], "dark is dark");
    let console = browser.console().await;
    assert!(console.is_empty(), "the console is quiet: {console:#?}");
}
