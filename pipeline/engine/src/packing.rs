//! Packs what the stages said into atomic batches: whole steps as long as they fit, else part of one.
//!
//! Steps that were worked off while a commit was in flight share the next one. What a batch says about the
//! position is always true: all outputs up to `position`, and the first `part` ones of the step behind it.

use stages::output::Output;
use stages::time::Time;
use std::collections::VecDeque;

/// Most outputs of one batch: the bus takes 1000 messages, the commit record and a margin stay free.
pub(crate) const OUTPUTS_MAX: usize = 900;
/// Most bytes of one batch: the server stages it in memory, and other logs want to be heard too.
const BYTES_MAX: usize = 4 << 20;

/// A worked-off step that waits to be committed. `Held` is kept until it is.
#[derive(Debug)]
pub(crate) struct Waiting<Held> {
    pub position: u64,
    pub time: Time,
    pub outputs: VecDeque<Output>,
    pub held: Held,
}

/// One batch.
#[derive(Debug)]
pub(crate) struct Pack<Held> {
    pub outputs: Vec<Output>,
    pub position: u64,
    pub time: Time,
    pub part: u32,
    /// Of the steps that are whole by this batch.
    pub held: Vec<Held>,
}

/// Steps that wait to be committed, in order.
#[derive(Debug)]
pub(crate) struct Packing<Held> {
    waiting: VecDeque<Waiting<Held>>,
    position: u64,
    time: Time,
    part: u32,
}

impl<Held> Packing<Held> {
    /// Goes on behind `position`, where `part` outputs of the next step are out already and no longer given in.
    pub fn new(position: u64, time: Time, part: u32) -> Self {
        Self { waiting: VecDeque::new(), position, time, part }
    }

    pub fn push(&mut self, step: Waiting<Held>) {
        self.waiting.push_back(step);
    }

    /// The next batch; none if no step waits. It may hold no outputs: only the position moved.
    pub fn next(&mut self) -> Option<Pack<Held>> {
        self.waiting.front()?;
        let (mut outputs, mut held, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(step) = self.waiting.front_mut() {
            let fits = |bytes: usize, count: usize, output: &Output| {
                count < OUTPUTS_MAX && (count == 0 || bytes + output.payload.len() <= BYTES_MAX)
            };
            let size: usize = step.outputs.iter().map(|output| output.payload.len()).sum();
            let whole = outputs.len() + step.outputs.len() <= OUTPUTS_MAX
                && (bytes + size <= BYTES_MAX || outputs.len() + step.outputs.len() <= 1);
            if whole {
                outputs.extend(step.outputs.drain(..));
                bytes += size;
                (self.position, self.time, self.part) = (step.position, step.time, 0);
                held.extend(self.waiting.pop_front().map(|step| step.held));
                continue;
            }
            if outputs.is_empty() {
                while step.outputs.front().is_some_and(|output| fits(bytes, outputs.len(), output))
                {
                    let Some(output) = step.outputs.pop_front() else { break };
                    bytes += output.payload.len();
                    self.part += 1;
                    outputs.push(output);
                }
            }
            break;
        }
        let (position, time, part) = (self.position, self.time, self.part);
        Some(Pack { outputs, position, time, part, held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use stages::output::Target;

    fn step(position: u64, outputs: usize, size: usize) -> Waiting<u64> {
        let output = |n| Output {
            target: Target::Commit,
            subject: format!("ops.transition.0/{position}/{n}"),
            payload: Bytes::from(vec![0; size]),
        };
        let outputs = (0..outputs).map(output).collect();
        Waiting { position, time: Time(position as i64), outputs, held: position }
    }

    fn drain(packing: &mut Packing<u64>) -> Vec<(usize, u64, u32, Vec<u64>)> {
        std::iter::from_fn(|| packing.next())
            .map(|pack| (pack.outputs.len(), pack.position, pack.part, pack.held))
            .collect()
    }

    #[test]
    fn waiting_steps_share_a_batch() {
        let mut packing = Packing::new(1, Time(1), 0);
        [step(2, 3, 10), step(3, 0, 0), step(4, 2, 10)].into_iter().for_each(|s| packing.push(s));
        assert_eq!(drain(&mut packing), [(5, 4, 0, vec![2, 3, 4])]);
    }

    #[test]
    fn a_step_that_does_not_fit_goes_in_parts() {
        let mut packing = Packing::new(1, Time(1), 0);
        [step(2, 10, 1), step(3, 2_000, 1), step(4, 1, 1)]
            .into_iter()
            .for_each(|s| packing.push(s));
        let expected = [
            (10, 2, 0, vec![2]),
            (900, 2, 900, vec![]),
            (900, 2, 1800, vec![]),
            (201, 4, 0, vec![3, 4]),
        ];
        assert_eq!(drain(&mut packing), expected);
    }

    #[test]
    fn bytes_are_bounded_and_one_large_output_still_goes() {
        let mut packing = Packing::new(1, Time(1), 0);
        [step(2, 3, 3 << 20), step(3, 1, 5 << 20)].into_iter().for_each(|s| packing.push(s));
        let expected =
            [(1, 1, 1, vec![]), (1, 1, 2, vec![]), (1, 2, 0, vec![2]), (1, 3, 0, vec![3])];
        assert_eq!(drain(&mut packing), expected);
    }

    #[test]
    fn parts_go_on_where_the_last_owner_stopped() {
        let mut packing = Packing::new(1, Time(1), 900);
        packing.push(step(2, 1_000, 1));
        assert_eq!(drain(&mut packing), [(900, 1, 1800, vec![]), (100, 2, 0, vec![2])]);
    }
}
