//! The life of one alert, as the pages say it.

use super::Row;
use stages::settings::{Compare, NoData, Rule, Stat};
use stages::time::{Span, Time};
use stages::wire::{Axis, Cause, DataFlag, Evidence};

/// What an evaluation has to go by.
#[derive(Clone)]
pub struct Seen {
    pub now: Time,
    pub data: DataFlag,
    /// The window is empty, and has been for its length.
    pub gone: bool,
    pub absent_for: Span,
    pub reported: bool,
    /// No data for longer than a firing alert may be kept.
    pub overdue: bool,
    pub evidence: Evidence,
    /// What was found out elsewhere, of a rule over several metrics.
    pub said: Option<Option<Said>>,
}

/// Which way it points, and why.
pub type Said = (Side, Cause);

/// Which way an evaluation points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Breach,
    Between,
    Clear,
}

#[derive(Clone, Debug)]
pub struct Alert {
    axis: Axis,
    /// Start of the clock that runs: of `for`, of `keep_firing_for`, or of the quiet of flapping.
    clock: Time,
    /// When the data went away while a clock ran.
    gap: Option<Time>,
    flapping: bool,
    /// Where the value was last, while flapping.
    side: Side,
    firings: Vec<Time>,
    pub data: DataFlag,
    told_no_data: bool,
    shown_enough: bool,
}

impl Default for Alert {
    fn default() -> Self {
        Self {
            axis: Axis::Unknown,
            clock: Time(0),
            gap: None,
            flapping: false,
            side: Side::Breach,
            firings: Vec::new(),
            data: DataFlag::NoData,
            told_no_data: false,
            shown_enough: false,
        }
    }
}

impl Alert {
    /// When a clock of its own runs out.
    pub fn due(&self, rule: &Rule) -> Option<Time> {
        let length = match (self.axis, self.gap) {
            (Axis::Pending, Some(gap)) => return Some(gap.plus(rule.gap_tolerance)),
            (Axis::Recovering, Some(_)) => return None,
            (Axis::Pending, None) => rule.hold,
            (Axis::Recovering, None) => rule.keep_firing_for,
            _ if self.flapping => Span(rule.flap_window.0 / 2),
            _ => return None,
        };
        Some(self.clock.plus(length))
    }

    /// `regraded`: the severity is another one by now, where the alert goes on.
    pub fn evaluate(&mut self, rule: &Rule, seen: &Seen, regraded: bool, rows: &mut Vec<Row>) {
        let before = self.data;
        self.data = seen.data;
        self.told_no_data &= seen.data == DataFlag::NoData;
        self.turn(rule, seen, rows);
        if rows.is_empty() && regraded && self.is_open() {
            self.say(self.axis, Cause::Severity, seen, rows);
        }
        if rows.is_empty() && before != self.data {
            self.say(self.axis, Cause::Data, seen, rows);
        }
        let no_data = self.data == DataFlag::NoData && seen.overdue && !self.told_no_data;
        if no_data && self.is_open() {
            self.told_no_data = true;
            self.say(self.axis, Cause::NoData, seen, rows);
        }
        let evidence = &seen.evidence;
        let enough = rule.action.is_some()
            && self.data == DataFlag::Fresh
            && evidence.count >= rule.action_min_samples
            && f64::from(evidence.panes_filled) >= f64::from(evidence.panes) / 2.0;
        if rows.is_empty()
            && enough
            && !self.shown_enough
            && self.axis == Axis::Firing
            && !self.flapping
        {
            self.say(Axis::Firing, Cause::Data, seen, rows);
        }
        if !rows.is_empty() {
            self.shown_enough = enough;
        }
    }

    /// An incident is open and there is no data.
    pub fn is_kept(&self) -> bool {
        self.is_open() && self.data == DataFlag::NoData
    }

    pub fn is_open(&self) -> bool {
        matches!(self.axis, Axis::Firing | Axis::Recovering)
    }

    /// What it belongs to is over.
    pub fn end(&mut self) {
        if self.is_open() {
            (self.axis, self.gap) = (Axis::Ok, None);
            if std::mem::take(&mut self.flapping) {
                self.firings.clear();
            }
        }
    }

    /// Made to fire, without its having breached.
    pub fn fire_by_hand(&mut self) {
        (self.axis, self.gap) = (Axis::Firing, None);
    }

    /// Other bounds or clocks: nothing moves before the next evaluation, and who is open is told.
    pub fn change(&mut self, seen: &Seen, rows: &mut Vec<Row>) {
        if self.is_open() {
            self.say(self.axis, Cause::RuleChanged, seen, rows);
        }
        self.shown_enough = false;
    }

    /// Other panes: what is open goes on, all else begins anew.
    pub fn rebase(&mut self, seen: &Seen, rows: &mut Vec<Row>) {
        match self.axis {
            Axis::Unknown => {}
            Axis::Ok => self.axis = Axis::Unknown,
            Axis::Pending => self.go(Axis::Unknown, Cause::RuleChanged, seen, rows),
            Axis::Firing | Axis::Recovering => {
                if std::mem::take(&mut self.flapping) {
                    self.firings.clear();
                }
                self.say(self.axis, Cause::RuleChanged, seen, rows);
            }
        }
        self.shown_enough = false;
    }

    /// Its end, if there is anything to end.
    pub fn close(&mut self, cause: Cause, seen: &Seen, rows: &mut Vec<Row>) {
        if !matches!(self.axis, Axis::Unknown | Axis::Ok) {
            self.go(Axis::Unknown, cause, seen, rows);
        }
    }

    fn turn(&mut self, rule: &Rule, seen: &Seen, rows: &mut Vec<Row>) {
        if seen.data == DataFlag::MissingSeries {
            if self.axis != Axis::Unknown && self.axis != Axis::Ok {
                self.go(Axis::Unknown, Cause::Retired, seen, rows);
            }
            return;
        }
        let Some((side, cause)) = verdict(rule, seen) else { return self.wait(rule, seen, rows) };
        if self.flapping {
            if (side == Side::Between || side == self.side) && seen.now < self.due(rule).unwrap() {
                return;
            }
            if side != Side::Between && side != self.side {
                (self.side, self.clock) = (side, seen.now);
                return;
            }
            self.flapping = false;
            self.firings.clear();
            self.say(Axis::Firing, Cause::Flapping, seen, rows);
        }
        // What the data's absence froze does not count.
        if let Some(gap) = self.gap.take() {
            self.clock = self.clock.plus(seen.now.since(gap));
        }
        match (self.axis, side) {
            (Axis::Unknown | Axis::Ok, Side::Breach) if rule.hold == Span::ZERO => {
                self.fire(cause, rule, seen, rows);
            }
            (Axis::Unknown | Axis::Ok, Side::Breach) => {
                self.clock = seen.now;
                self.go(Axis::Pending, cause, seen, rows);
            }
            (Axis::Unknown, Side::Clear) if cause == Cause::NoDataOk => {}
            (Axis::Unknown, _) => self.go(Axis::Ok, Cause::FirstData, seen, rows),
            (Axis::Ok, _) => {}
            (Axis::Pending, Side::Breach) => {
                if seen.now.since(self.clock) >= rule.hold {
                    self.fire(Cause::Held, rule, seen, rows);
                }
            }
            (Axis::Pending, _) => {
                let calm = if cause == Cause::Breach { Cause::NoBreach } else { cause };
                self.go(Axis::Ok, calm, seen, rows);
            }
            (Axis::Firing, Side::Clear) => {
                let calm = if cause == Cause::NoBreach { Cause::Recovered } else { cause };
                self.clock = seen.now;
                let keeps = rule.keep_firing_for > Span::ZERO;
                let to = if keeps { Axis::Recovering } else { Axis::Ok };
                self.go(to, calm, seen, rows);
            }
            (Axis::Firing, _) => {}
            (Axis::Recovering, Side::Breach) => {
                self.go(Axis::Firing, Cause::BreachAgain, seen, rows);
            }
            (Axis::Recovering, _) => {
                if seen.now.since(self.clock) >= rule.keep_firing_for {
                    self.go(Axis::Ok, Cause::StayedRecovered, seen, rows);
                }
            }
        }
    }

    /// Nothing can be said: clocks freeze, and a breach is not waited for too long.
    fn wait(&mut self, rule: &Rule, seen: &Seen, rows: &mut Vec<Row>) {
        if matches!(self.axis, Axis::Pending | Axis::Recovering) {
            let gap = *self.gap.get_or_insert(seen.now);
            if self.axis == Axis::Pending && seen.now.since(gap) >= rule.gap_tolerance {
                self.go(Axis::Ok, Cause::Gap, seen, rows);
            }
        }
    }

    fn fire(&mut self, cause: Cause, rule: &Rule, seen: &Seen, rows: &mut Vec<Row>) {
        self.firings.push(seen.now);
        let counts = |at: &&Time| seen.now.since(**at) < rule.flap_window;
        self.flapping = self.firings.iter().filter(counts).count() >= 4;
        self.go(Axis::Firing, cause, seen, rows);
        if self.flapping {
            (self.side, self.clock) = (Side::Breach, seen.now);
            self.say(Axis::Firing, Cause::Flapping, seen, rows);
        }
    }

    fn go(&mut self, to: Axis, cause: Cause, seen: &Seen, rows: &mut Vec<Row>) {
        let from = std::mem::replace(&mut self.axis, to);
        self.gap = None;
        if !self.is_open() && std::mem::take(&mut self.flapping) {
            self.firings.clear();
        }
        self.say(from, cause, seen, rows);
    }

    fn say(&self, from: Axis, cause: Cause, seen: &Seen, rows: &mut Vec<Row>) {
        let open = |axis| matches!(axis, Axis::Firing | Axis::Recovering);
        rows.push(Row {
            time: seen.now,
            from,
            to: self.axis,
            cause,
            data: self.data,
            flapping: self.flapping,
            open: open(from) || open(self.axis),
            severity: String::new(),
            shadow: false,
            evidence: seen.evidence.clone(),
        });
    }
}

/// Which way it points and what people are told, if anything can be said.
pub fn verdict(rule: &Rule, seen: &Seen) -> Option<Said> {
    if let Some(said) = seen.said {
        return said;
    }
    if let Some(absent) = rule.absent {
        return match seen.absent_for >= absent {
            true => Some((Side::Breach, Cause::Absent)),
            false if seen.reported => Some((Side::Clear, Cause::Present)),
            false => None,
        };
    }
    if seen.gone {
        return match rule.no_data {
            NoData::Keep => None,
            NoData::Alert => Some((Side::Breach, Cause::NoData)),
            NoData::Ok => Some((Side::Clear, Cause::NoDataOk)),
        };
    }
    if seen.data != DataFlag::Fresh {
        return None;
    }
    let (value, limit) = (seen.evidence.value?, seen.evidence.threshold);
    debug_assert!(matches!(rule.stat, Stat::Above | Stat::Below) || limit == rule.threshold);
    let (breach, back) = match rule.compare {
        Compare::Greater => (value > limit, rule.recover.is_none_or(|back| value <= back)),
        Compare::GreaterEqual => (value >= limit, rule.recover.is_none_or(|back| value <= back)),
        Compare::Less => (value < limit, rule.recover.is_none_or(|back| value >= back)),
        Compare::LessEqual => (value <= limit, rule.recover.is_none_or(|back| value >= back)),
        Compare::Equal => (value == limit, true),
        Compare::NotEqual => (value != limit, true),
    };
    Some(match (breach, back) {
        (true, _) => (Side::Breach, Cause::Breach),
        (false, true) => (Side::Clear, Cause::NoBreach),
        (false, false) => (Side::Between, Cause::NoBreach),
    })
}
