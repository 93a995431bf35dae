//! The samples of a test, in order of time, as batch entries: all series of one beat in one entry.

use bytes::Bytes;
use settings::cases::{Series, Stretch};
use stages::batch::Frame;
use stages::time::{Span, Time};

/// Series that are sampled at the same instants.
#[derive(Debug)]
struct Beat {
    next: Time,
    interval: Span,
    left: u64,
    frame: Frame,
    cursors: Vec<Cursor>,
    values: Vec<Option<f64>>,
    /// The values written last, and their bytes: a fleet at rest says the same again and again.
    last: Option<(Vec<Option<f64>>, Bytes)>,
}

/// Where one series stands in its values.
#[derive(Debug)]
struct Cursor {
    stretches: Vec<Stretch>,
    /// Which stretch, and how far into it.
    at: (usize, u64),
}

impl Cursor {
    fn next(&mut self) -> Option<f64> {
        let stretch = *self.stretches.get(self.at.0)?;
        let value = stretch.value(self.at.1);
        self.at.1 += 1;
        if self.at.1 >= stretch.len() {
            self.at = (self.at.0 + 1, 0);
        }
        value
    }
}

/// All samples of a test.
#[derive(Debug)]
pub(crate) struct Feed {
    beats: Vec<Beat>,
}

impl Feed {
    /// The samples of `series`, of a test that begins at `start`.
    pub fn new(series: &[Series], start: Time) -> Self {
        let mut beats: Vec<(Beat, Vec<_>)> = Vec::new();
        for one in series.iter().filter(|one| !one.is_empty()) {
            let next = start.plus(one.from);
            let found = beats
                .iter()
                .position(|(beat, _)| beat.next == next && beat.interval == one.interval);
            let at = found.unwrap_or(beats.len());
            if found.is_none() {
                let (left, frame, interval) = (0, Frame::new(Vec::new()), one.interval);
                let (cursors, values) = (Vec::new(), Vec::new());
                beats.push((
                    Beat { next, interval, left, frame, cursors, values, last: None },
                    Vec::new(),
                ));
            }
            let (beat, keys) = &mut beats[at];
            beat.left = beat.left.max(one.len());
            let stretches =
                one.values.iter().copied().filter(|stretch| !stretch.is_empty()).collect();
            beat.cursors.push(Cursor { stretches, at: (0, 0) });
            keys.push((one.key.clone(), one.kind));
        }
        let framed = beats.into_iter().map(|(beat, keys)| Beat { frame: Frame::new(keys), ..beat });
        Self { beats: framed.collect() }
    }

    /// When the next samples come.
    pub fn next(&self) -> Option<Time> {
        self.beats.iter().filter(|beat| beat.left > 0).map(|beat| beat.next).min()
    }

    /// Takes one beat of the next instant; none where every series is silent then.
    pub fn take(&mut self) -> Option<(Time, Bytes)> {
        let beat =
            self.beats.iter_mut().filter(|beat| beat.left > 0).min_by_key(|beat| beat.next)?;
        let time = beat.next;
        beat.next = beat.next.plus(beat.interval);
        beat.left -= 1;
        beat.values.clear();
        beat.values.extend(beat.cursors.iter_mut().map(Cursor::next));
        if beat.values.iter().all(Option::is_none) {
            return None;
        }
        if let Some((values, bytes)) = &beat.last
            && *values == beat.values
        {
            return Some((time, bytes.clone()));
        }
        let bytes = Bytes::from(beat.frame.write(&beat.values));
        beat.last = Some((beat.values.clone(), bytes.clone()));
        Some((time, bytes))
    }
}
