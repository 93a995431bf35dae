//! Which series a window holds samples of: how many they are is part of the evidence.
//!
//! Those that are gone are forgotten when somebody asks, or when room is needed for another: not each time a pane
//! leaves.

use super::short::{self, Short};

/// Series with the newest pane of each.
#[derive(Clone, Debug, Default)]
pub(super) enum Seen {
    /// No series.
    #[default]
    None,
    /// One, as in most windows.
    One(u32, Short),
    /// Several.
    Many(Box<Many>),
}

#[derive(Clone, Debug)]
pub(super) struct Many {
    /// By series.
    list: Vec<(u32, Short)>,
    /// Where the last one was found. Batches bring series in a steady order: the next is there, or beside it.
    at: usize,
}

impl Seen {
    /// Notes a sample of `series` in `pane`; panes before `oldest` are gone.
    #[inline]
    pub(super) fn add(&mut self, series: u32, pane: Short, oldest: Short) {
        match self {
            Self::One(known, newest) if *known == series => {
                if short::is_before(*newest, pane) {
                    *newest = pane;
                }
            }
            Self::Many(many) => many.add(series, pane, oldest),
            Self::None => *self = Self::One(series, pane),
            Self::One(known, newest) => {
                let mut many = Many { list: vec![(*known, *newest)], at: 0 };
                many.add(series, pane, oldest);
                *self = Self::Many(Box::new(many));
            }
        }
    }

    /// Forgets the series without a sample in `oldest` or later.
    pub(super) fn drop_before(&mut self, oldest: Short) {
        match self {
            Self::One(_, newest) if short::is_before(*newest, oldest) => *self = Self::None,
            Self::None | Self::One(..) => {}
            Self::Many(many) => {
                many.drop_before(oldest);
                match many.list[..] {
                    [] => *self = Self::None,
                    [(series, newest)] => *self = Self::One(series, newest),
                    _ => {}
                }
            }
        }
    }

    /// How many it remembers, some of them perhaps gone.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(..) => 1,
            Self::Many(many) => many.list.len(),
        }
    }

    /// What it remembers, some of them perhaps gone.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Short)> {
        let (one, many) = match self {
            Self::None => (None, &[][..]),
            Self::One(series, newest) => (Some((*series, *newest)), &[][..]),
            Self::Many(many) => (None, &many.list[..]),
        };
        one.into_iter().chain(many.iter().copied())
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::None | Self::One(..) => 0,
            Self::Many(many) => {
                size_of::<Many>() + many.list.capacity() * size_of::<(u32, Short)>()
            }
        }
    }
}

impl Many {
    fn drop_before(&mut self, oldest: Short) {
        self.list.retain(|(_, newest)| !short::is_before(*newest, oldest));
        self.at = 0;
    }

    fn add(&mut self, series: u32, pane: Short, oldest: Short) {
        let is_at = |at: usize| self.list.get(at).is_some_and(|(known, _)| *known == series);
        let near = [self.at, self.at + 1, 0].into_iter().find(|at| is_at(*at));
        let found = match near {
            Some(at) => Ok(at),
            None => self.list.binary_search_by_key(&series, |(known, _)| *known),
        };
        match found {
            Ok(at) => {
                self.at = at;
                if short::is_before(self.list[at].1, pane) {
                    self.list[at].1 = pane;
                }
            }
            Err(_) => self.insert(series, pane, oldest),
        }
    }

    fn insert(&mut self, series: u32, pane: Short, oldest: Short) {
        if self.list.len() == self.list.capacity() {
            self.drop_before(oldest);
            self.list.reserve_exact(self.list.len() / 4 + 1);
        }
        let at = self.list.partition_point(|(known, _)| *known < series);
        self.list.insert(at, (series, pane));
        self.at = at;
    }
}
