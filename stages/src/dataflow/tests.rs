//! A panic inside a stage.

use super::*;
use crate::log::{Entry, EntryKind, Stepper};
use crate::stop::failpoint;
use std::sync::mpsc::channel;

/// Asks for a panic.
const PANIC: &[u8] = b"panic over this";

fn step(log: LogId, number: u64, payload: &'static [u8]) -> Feed {
    let kind = if payload.is_empty() { EntryKind::Tick } else { EntryKind::Unknown };
    let time = Time::from_millis(1_700_000_000_000 + number as i64 * 1_000);
    let (mut stepper, mut steps) = (Stepper::new(log, Time(0)), Vec::new());
    let payload = Bytes::from_static(payload);
    stepper.push(Entry { sequence: number, time, kind, payload }, &mut steps);
    let tick = Entry { sequence: number + 1, time, kind: EntryKind::Tick, payload: Bytes::new() };
    stepper.push(tick, &mut steps);
    Feed::Step { log, step: Arc::new(steps.remove(0)) }
}

fn adopt(log: LogId) -> Feed {
    Feed::Adopt(LogState { log, created: Time(0), now: Time(0), snapshot: None })
}

/// Feeds three logs of which `bad` panics in its second step, is fed on, released and adopted anew.
fn play(workers: usize, bad: LogId) -> Vec<Done> {
    failpoint::panic_over(PANIC);
    let logs = [LogId::Shard(0), LogId::Shard(1), LogId::Desk];
    let (say, hear) = channel();
    let done = move |done| say.send(done).expect("somebody hears");
    let flow = Dataflow::start(workers, Subjects::default(), 2, done).expect("starts");
    flow.feed(Round { number: 1, feeds: logs.map(adopt).to_vec() });
    for number in 2..6 {
        let payload = |log| if log == bad && number == 3 { PANIC } else { &b""[..] };
        let feeds = logs.map(|log| step(log, number * 10, payload(log))).to_vec();
        flow.feed(Round { number, feeds });
    }
    flow.feed(Round { number: 6, feeds: vec![Feed::Release(bad)] });
    flow.feed(Round { number: 7, feeds: vec![adopt(bad), step(bad, 70, b"")] });
    flow.stop();
    hear.iter().collect()
}

#[test]
fn a_panic_stops_its_log_and_no_other() {
    for workers in [1, 2, 4] {
        for bad in [LogId::Shard(0), LogId::Shard(1), LogId::Desk] {
            let done = play(workers, bad);
            let rounds: Vec<u64> = done.iter().map(|done| done.round).collect();
            assert_eq!(rounds, [1, 2, 3, 4, 5, 6, 7], "the others' rounds go on");
            for log in
                done.iter().flat_map(|done| done.logs.iter().map(move |log| (done.round, log)))
            {
                let (round, log) = log;
                let stopped = log.log == bad && (3..=6).contains(&round);
                let what = format!("{bad} panics, {} in round {round}: {:?}", log.log, log.stopped);
                assert_eq!(log.stopped.is_some(), stopped, "{what}");
                if stopped {
                    assert_eq!(log.position, 20, "it stands where it stood: {what}");
                    assert!(log.outputs.is_empty(), "{what}");
                    let why = "asked to panic".to_owned();
                    assert_eq!(log.stopped, Some(Stop { entries: Some((30, 30)), why }));
                } else if round > 1 {
                    assert_eq!(log.position, round * 10, "{what}");
                }
            }
        }
    }
}
