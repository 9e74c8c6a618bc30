//! What a table of a shard says in the first cell of its header, so that `--merge` can put the tables of all shards
//! together as if their jobs had been run in one.
//!
//! ```text
//! forkpool.job,name,data.petted                  the columns were chosen, and are the same in every shard
//! "forkpool.job {""jobs"":[[""name"",1]],…}",…   they were found in jobs and results, and may differ
//! ```
//!
//! Below it stand the numbers of the jobs: nothing else tells one row from another, since jobs may be equal. Of a
//! column that was found, the order of all columns depends on which job had it first, and its cells do not tell that: a
//! job that has it with null or "" looks like one that lacks it.

use serde::{Deserialize, Serialize};

/// What the first cell of a shard's table begins with.
const NAME: &str = "forkpool.job";

/// Where the columns of a table come from that were found in jobs and results. The table has them in this order, and
/// then those of forkpool itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// The keys of the jobs, each with the number of the job that had it first; 0 for the columns of a table.
    pub jobs: Vec<(String, u64)>,
    /// There is a column for jobs that are no objects.
    pub plain_job: bool,
    /// The same of the results.
    pub results: Vec<(String, u64)>,
    pub plain_result: bool,
    /// There are the columns of `--meta`.
    pub meta: bool,
}

/// The kinds of tables that shards write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marker {
    Chosen,
    Found(Origin),
}

impl Marker {
    /// The first cell of the header.
    pub fn cell(&self) -> String {
        match self {
            Marker::Chosen => NAME.to_owned(),
            Marker::Found(origin) => {
                let json = serde_json::to_string(origin).expect("strings and numbers always serialize");
                format!("{NAME} {json}")
            }
        }
    }

    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Marker::Chosen => None,
            Marker::Found(origin) => Some(origin),
        }
    }

    /// `None` if the table is no shard's.
    pub fn read(cell: &str) -> Option<Marker> {
        let rest = cell.strip_prefix(NAME)?;
        if rest.is_empty() {
            return Some(Marker::Chosen);
        }
        serde_json::from_str(rest.strip_prefix(' ')?).ok().map(Marker::Found)
    }
}

impl Origin {
    /// The columns of all these tables, as they would be found if their jobs were in one. All must have `--meta`, or
    /// none.
    pub fn union<'a>(all: impl Iterator<Item = &'a Origin> + Clone) -> Origin {
        let jobs = all.clone().map(|origin| &origin.jobs);
        let results = all.clone().map(|origin| &origin.results);
        Origin {
            jobs: in_order(jobs),
            plain_job: all.clone().any(|origin| origin.plain_job),
            results: in_order(results),
            plain_result: all.clone().any(|origin| origin.plain_result),
            meta: all.clone().any(|origin| origin.meta),
        }
    }

    /// Where each cell of a row of this table stands in a row of `whole`.
    pub fn places(&self, whole: &Origin, last: usize) -> Vec<usize> {
        let mut places = Vec::new();
        let mut start = 0;
        let mut keys = |ours: &[(String, u64)], theirs: &[(String, u64)], plain: [bool; 2]| {
            let place: std::collections::HashMap<&str, usize> =
                theirs.iter().enumerate().map(|(place, (key, _))| (key.as_str(), place)).collect();
            places.extend(ours.iter().filter_map(|(key, _)| place.get(key.as_str())).map(|place| start + place));
            start += theirs.len();
            if plain[0] {
                places.push(start);
            }
            start += usize::from(plain[1]);
        };
        keys(&self.jobs, &whole.jobs, [self.plain_job, whole.plain_job]);
        keys(&self.results, &whole.results, [self.plain_result, whole.plain_result]);
        places.extend(start..start + last);
        places
    }

    /// The place of the first column that is forkpool's own: the status.
    pub fn status(&self) -> usize {
        let plain = usize::from(self.plain_job) + usize::from(self.plain_result);
        self.jobs.len() + self.results.len() + plain
    }
}

/// Keys by the first job that has them. Those that one job has first are all in the same shard, in their order.
fn in_order<'a>(all: impl Iterator<Item = &'a Vec<(String, u64)>>) -> Vec<(String, u64)> {
    let mut keys: Vec<(String, u64)> = all.flatten().cloned().collect();
    keys.sort_by_key(|(_, first)| *first);
    let mut seen = std::collections::HashSet::new();
    keys.retain(|(key, _)| seen.insert(key.clone()));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(jobs: &[(&str, u64)], results: &[(&str, u64)], plain_result: bool) -> Origin {
        let own = |keys: &[(&str, u64)]| keys.iter().map(|(key, first)| ((*key).to_owned(), *first)).collect();
        Origin { jobs: own(jobs), results: own(results), plain_result, ..Origin::default() }
    }

    #[test]
    fn columns_stand_in_the_order_in_which_one_run_would_find_them() {
        let first = origin(&[("a", 1), ("b", 1), ("d", 7)], &[("x", 7)], false);
        let second = origin(&[("b", 2), ("c", 2), ("d", 4)], &[("y", 2)], true);
        let whole = Origin::union([&first, &second].into_iter());
        assert_eq!(whole, origin(&[("a", 1), ("b", 1), ("c", 2), ("d", 4)], &[("y", 2), ("x", 7)], true),);
        assert_eq!(first.places(&whole, 3), [0, 1, 3, 5, 7, 8, 9]);
        assert_eq!(second.places(&whole, 3), [1, 2, 3, 4, 6, 7, 8, 9]);
        assert_eq!((first.status(), whole.status()), (4, 7));
    }

    #[test]
    fn a_marker_comes_back() {
        for marker in [Marker::Chosen, Marker::Found(origin(&[("a \"b\"", 0)], &[("", 3)], true))] {
            assert_eq!(Marker::read(&marker.cell()), Some(marker));
        }
        for cell in ["name", "", "forkpool.job2", "forkpool.job {"] {
            assert_eq!(Marker::read(cell), None, "{cell}");
        }
    }
}
