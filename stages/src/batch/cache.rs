//! Tables seen before: from their bytes to what a reader made of their rows.

use super::{BatchError, Row, Table};
use rustc_hash::FxHasher;
use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher;
use std::sync::Arc;

/// Tables kept: clients of one shard times the tables each alternates between.
const TABLES_MAX: usize = 1024;
/// Bytes of tables kept; past it the oldest goes. 32 MiB hold 10 000 clients of 100 short series.
const TABLE_BYTES_MAX: usize = 32 << 20;

/// Remembers, for each table of series seen lately, the id made of each row, so that a batch whose table
/// is known costs one comparison of bytes. What it remembers changes no result, only the time it takes;
/// whoever frees an id clears it.
#[derive(Debug)]
pub struct TableCache<T> {
    known: BTreeMap<u64, Known<T>>,
    order: VecDeque<u64>,
    bytes: usize,
}

#[derive(Debug)]
struct Known<T> {
    table: Box<[u8]>,
    ids: Arc<[T]>,
}

impl<T> Default for TableCache<T> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), order: VecDeque::new(), bytes: 0 }
    }
}

impl<T> TableCache<T> {
    /// The ids of the rows of `table`, in their order: as remembered, else made by `intern` row by row.
    ///
    /// # Errors
    /// The table is corrupt; nothing is remembered of it.
    pub fn ids(
        &mut self,
        table: &[u8],
        mut intern: impl FnMut(Row<'_>) -> T,
    ) -> Result<Arc<[T]>, BatchError> {
        let mut hasher = FxHasher::default();
        hasher.write(table);
        let hash = hasher.finish();
        if let Some(known) = self.known.get(&hash)
            && *known.table == *table
        {
            return Ok(Arc::clone(&known.ids));
        }
        // Read it whole first: a corrupt table must not intern half of itself.
        let mut check = Table::new(table)?;
        while check.next_row()?.is_some() {}
        let mut rows = Table::new(table)?;
        let mut ids = Vec::new();
        while let Some(row) = rows.next_row()? {
            ids.push(intern(row));
        }
        let ids: Arc<[T]> = ids.into();
        self.keep(hash, table, Arc::clone(&ids));
        Ok(ids)
    }

    /// Forgets everything: call it when an id was freed or has changed its meaning.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn keep(&mut self, hash: u64, table: &[u8], ids: Arc<[T]>) {
        self.bytes += table.len();
        match self.known.insert(hash, Known { table: table.into(), ids }) {
            Some(replaced) => self.bytes -= replaced.table.len(),
            None => self.order.push_back(hash),
        }
        while self.order.len() > TABLES_MAX || self.bytes > TABLE_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= self.known.remove(&oldest).map_or(0, |known| known.table.len());
        }
    }
}
