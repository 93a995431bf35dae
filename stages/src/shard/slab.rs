//! Things under small numbers that stay theirs for life: what the hot path follows instead of names.

use std::ops::{Index, IndexMut};

/// Things in a chunk. A slab grows by chunks, so that it neither copies what is there nor holds room for twice of it.
const CHUNK: usize = 64;

/// Chunks of places, with holes that are filled again.
#[derive(Clone, Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    pub(super) fn insert(&mut self, thing: T) -> u32 {
        self.len += 1;
        if let Some(id) = self.free.pop() {
            self.chunks[id as usize / CHUNK][id as usize % CHUNK] = Some(thing);
            return id;
        }
        let at = self.chunks.len().saturating_sub(1);
        match self.chunks.last_mut().filter(|last| last.len() < CHUNK) {
            Some(last) => {
                last.push(Some(thing));
                (at * CHUNK + last.len() - 1) as u32
            }
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(Some(thing));
                self.chunks.push(chunk);
                ((self.chunks.len() - 1) * CHUNK) as u32
            }
        }
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<T> {
        let place = self.chunks.get_mut(id as usize / CHUNK)?.get_mut(id as usize % CHUNK)?;
        let thing = place.take();
        if thing.is_some() {
            self.free.push(id);
            self.len -= 1;
        }
        thing
    }

    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<&T> {
        self.chunks.get(id as usize / CHUNK)?.get(id as usize % CHUNK)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.chunks.get_mut(id as usize / CHUNK)?.get_mut(id as usize % CHUNK)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..)
            .zip(self.chunks.iter().flatten())
            .filter_map(|(id, place)| Some((id, place.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        let places = (0..).zip(self.chunks.iter_mut().flatten());
        places.filter_map(|(id, place)| Some((id, place.as_mut()?)))
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        self.get(id).expect("an id is given back when its thing goes")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        self.get_mut(id).expect("an id is given back when its thing goes")
    }
}
