//! Something counted over time, in a bounded number of slices of equal width. When the time outgrows them, each two become
//! one of twice the width.

use std::ops::AddAssign;
use std::time::Duration;

/// In each slice one value for each of `N` kinds.
#[derive(Debug, Clone)]
pub struct Slices<V, const N: usize> {
    width: Duration,
    cells: Vec<[V; N]>,
}

/// So many slices are kept: as many as a chart has columns, and some more.
const SLICES: usize = 512;
/// The width of the first slices: half a second fits, so that short runs have a picture, too.
const FIRST: Duration = Duration::from_millis(1);

impl<V: Copy + Default + AddAssign, const N: usize> Default for Slices<V, N> {
    fn default() -> Slices<V, N> {
        Slices { width: FIRST, cells: Vec::new() }
    }
}

impl<V: Copy + Default + AddAssign, const N: usize> Slices<V, N> {
    pub fn width(&self) -> Duration {
        self.width
    }

    /// The slice that this time after the beginning is in.
    pub fn at(&mut self, time: Duration) -> &mut [V; N] {
        let index = self.reach(time);
        &mut self.cells[index]
    }

    /// The slices put together to so many columns that cover `total`, at most.
    pub fn columns(&self, most: usize, total: Duration) -> Vec<[V; N]> {
        let slices = (total.as_nanos() / self.width.as_nanos() + 1) as usize;
        let columns = most.min(slices).max(1);
        let mut merged = vec![[V::default(); N]; columns];
        for (index, cell) in self.cells.iter().enumerate() {
            let column = (index * columns / slices).min(columns - 1);
            add(&mut merged[column], cell);
        }
        merged
    }

    fn reach(&mut self, time: Duration) -> usize {
        while time.as_nanos() / self.width.as_nanos() >= SLICES as u128 {
            self.width *= 2;
            for index in 0..self.cells.len().div_ceil(2) {
                let mut both = self.cells[2 * index];
                if let Some(second) = self.cells.get(2 * index + 1) {
                    add(&mut both, second);
                }
                self.cells[index] = both;
            }
            self.cells.truncate(self.cells.len().div_ceil(2));
        }
        let index = (time.as_nanos() / self.width.as_nanos()) as usize;
        if index >= self.cells.len() {
            self.cells.resize(index + 1, [V::default(); N]);
        }
        index
    }
}

fn add<V: Copy + AddAssign, const N: usize>(to: &mut [V; N], more: &[V; N]) {
    to.iter_mut().zip(more).for_each(|(value, more)| *value += *more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_double_in_width_and_nothing_is_lost() {
        let mut slices: Slices<u32, 2> = Slices::default();
        for second in 0..10_000 {
            slices.at(Duration::from_secs(second))[1] += 1;
            slices.at(Duration::from_secs(second / 2))[0] += 1;
        }
        assert!(slices.cells.len() <= SLICES && slices.cells.capacity() <= 2 * SLICES);
        let total = Duration::from_secs(10_000);
        let columns = slices.columns(100, total);
        assert_eq!(columns.len(), 100);
        let sum = |kind: usize| columns.iter().map(|column| column[kind]).sum::<u32>();
        assert_eq!((sum(0), sum(1)), (10_000, 10_000));
        assert!(columns.iter().all(|column| (90..=140).contains(&column[1]) || column[1] < 140), "{columns:?}");
        assert!(columns[60..].iter().all(|column| column[0] == 0), "{columns:?}");
    }

    #[test]
    fn a_short_run_has_as_many_columns_as_slices() {
        let mut slices: Slices<u32, 1> = Slices::default();
        slices.at(Duration::from_millis(3))[0] += 1;
        assert_eq!(slices.columns(100, Duration::from_millis(4)), [[0], [0], [0], [1], [0]]);
    }
}
