//! The logs of a trial once more, by stages that are saved and read back after every step: as if the engine ended and
//! another began, each time.

use stages::dataflow::Seat;
use stages::desk::Desk;
use stages::log::{LogId, Step, Stepper};
use stages::output::{Output, Target};
use stages::shard::{Place, Shard};
use stages::subject::Subjects;
use stages::time::Time;
use trial::{Kept, Trial};

/// Holds what such stages say against what the trial said.
#[track_caller]
pub fn says_the_same(trial: &Trial, start: Time) {
    let place = || Place {
        shard: 0,
        shards: 1,
        created: start,
        subjects: Subjects::default(),
        seat: Seat { index: 0, of: 1 },
    };
    let kept = trial.kept(LogId::Shard(0));
    let mut shard = Shard::new(place(), Time::default());
    let all = steps(LogId::Shard(0), &kept, start);
    let said = all.iter().flat_map(|step| {
        shard = Shard::restore(place(), &shard.snapshot()).unwrap();
        shard.step(step).into_iter().map(|said| said.output).collect::<Vec<_>>()
    });
    let said: Vec<Output> = said.filter(|output| output.target == Target::Commit).collect();
    assert_eq!(said, kept.outputs, "a shard that is restarted says something else");

    let kept = trial.kept(LogId::Desk);
    let mut desk = Desk::new(Subjects::default(), 1, start);
    let all = steps(LogId::Desk, &kept, start);
    let said = all.iter().flat_map(|step| {
        desk = Desk::restore(Subjects::default(), 1, start, &desk.snapshot()).unwrap();
        desk.step(step)
    });
    let said: Vec<Output> = said.filter(|output| output.target == Target::Commit).collect();
    assert_eq!(said, kept.outputs, "a desk that is restarted says something else");
}

fn steps(log: LogId, kept: &Kept, start: Time) -> Vec<Step> {
    let (mut stepper, mut steps) = (Stepper::new(log, start), Vec::new());
    kept.entries.iter().for_each(|entry| stepper.push(entry.clone(), &mut steps));
    steps
}
