//! `--shard auto`: which shard the task of an array is, from the variables that batch systems set.
//!
//! A guess would run the wrong jobs without anybody noticing, so what the variables do not say is asked for: how many
//! shards there are (`FORKPOOL_SHARDS`) where a system does not tell. An array of one task is refused, since that is
//! how a single task of a larger array is submitted again: it would run all jobs.

use super::args::ShardChoice;
use crate::words::error::{Error, Result};
use crate::words::shard::Shard;

/// A variable of the environment.
type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How a batch system tells a task its place in the array.
struct System {
    name: &'static str,
    /// The variable with the number of the task.
    index: &'static str,
    /// The variable with the number of the first task, or that number, where arrays always begin there.
    first: Known,
    /// The variable with the number of the last task; of a system that has none, only `count` or the user can tell.
    last: Option<&'static str>,
    step: Option<&'static str>,
    count: Option<&'static str>,
}

enum Known {
    In(&'static str),
    Always(u64),
}

/// The variables are those of the systems' own manuals. PBS and LSF do not tell where an array begins: they are taken
/// to count from 1. Grid Engine sets its variables to `undefined` outside of arrays, LSF sets 0.
const SYSTEMS: [System; 7] = [
    System {
        name: "Slurm",
        index: "SLURM_ARRAY_TASK_ID",
        first: Known::In("SLURM_ARRAY_TASK_MIN"),
        last: Some("SLURM_ARRAY_TASK_MAX"),
        step: Some("SLURM_ARRAY_TASK_STEP"),
        count: Some("SLURM_ARRAY_TASK_COUNT"),
    },
    System {
        name: "Grid Engine",
        index: "SGE_TASK_ID",
        first: Known::In("SGE_TASK_FIRST"),
        last: Some("SGE_TASK_LAST"),
        step: Some("SGE_TASK_STEPSIZE"),
        count: None,
    },
    System {
        name: "AWS Batch",
        index: "AWS_BATCH_JOB_ARRAY_INDEX",
        first: Known::Always(0),
        last: None,
        step: None,
        count: Some("AWS_BATCH_JOB_ARRAY_SIZE"),
    },
    System {
        name: "Kubernetes",
        index: "JOB_COMPLETION_INDEX",
        first: Known::Always(0),
        last: None,
        step: None,
        count: None,
    },
    System { name: "PBS", index: "PBS_ARRAY_INDEX", first: Known::Always(1), last: None, step: None, count: None },
    System { name: "Torque", index: "PBS_ARRAYID", first: Known::Always(1), last: None, step: None, count: None },
    System {
        name: "LSF",
        index: "LSB_JOBINDEX",
        first: Known::Always(1),
        last: Some("LSB_JOBINDEX_END"),
        step: Some("LSB_JOBINDEX_STEP"),
        count: None,
    },
];

/// The variable with which the user says how many shards there are.
const COUNT: &str = "FORKPOOL_SHARDS";

pub fn resolve(choice: ShardChoice) -> Result<Shard> {
    match choice {
        ShardChoice::Given(shard) => Ok(shard),
        ShardChoice::Auto => of_array(&|name| std::env::var(name).ok()),
    }
}

fn of_array(variable: Variable) -> Result<Shard> {
    let mut found: Option<(&str, Shard)> = None;
    for system in &SYSTEMS {
        let Some(shard) = system.shard(variable)? else { continue };
        match found {
            Some((other, first)) if first != shard => {
                let (name, index) = (system.name, system.index);
                return Err(refused(format!(
                    "{other} says that this is shard {first}, and {name} ({index}) that it is {shard}"
                ))
                .hint("--shard K/N says which of them it is"));
            }
            _ => found = Some((system.name, shard)),
        }
    }
    let Some((name, shard)) = found else {
        let looked_for: Vec<&str> = SYSTEMS.iter().map(|system| system.index).collect();
        let words = format!("this is no task of an array: none of {} is set", looked_for.join(", "));
        return Err(refused(words).hint("--shard K/N, with K from 1 to N"));
    };
    if shard.step() == 1 {
        return Err(refused(format!("the array of {name} has one task, whose shard would be all jobs"))
            .hint("a task that is submitted again alone is --shard K/N of the whole array"));
    }
    Ok(shard)
}

impl System {
    /// `None` if this process is in no array of this system.
    fn shard(&self, variable: Variable) -> Result<Option<Shard>> {
        let is_in_array = |value: &String| value != "undefined" && !(self.name == "LSF" && value == "0");
        if variable(self.index).filter(is_in_array).is_none() {
            return Ok(None);
        }
        let number = |name: &str| number(name, variable);
        let index = number(self.index)?.unwrap_or_default();
        let first = match self.first {
            Known::In(name) => number(name)?.ok_or_else(|| missing(self.index, name))?,
            Known::Always(first) => first,
        };
        let step = self.step.map(number).transpose()?.flatten().unwrap_or(1).max(1);
        let count = self.count(first, step, variable)?;
        let place = index.checked_sub(first).filter(|distance| distance % step == 0).map(|distance| distance / step);
        let shard = place.and_then(|place| Shard::new(place + 1, count));
        let outside = || {
            let words =
                format!("{} is {index}, which is none of {count} tasks from {first} in steps of {step}", self.index);
            refused(words).hint("number the array so, or say which shard this is with --shard K/N")
        };
        shard.map(Some).ok_or_else(outside)
    }

    /// How many tasks the array has, as the system tells, or else as the user does.
    fn count(&self, first: u64, step: u64, variable: Variable) -> Result<u64> {
        let of_user = number(COUNT, variable)?;
        let counted = self.count.map(|name| number(name, variable)).transpose()?.flatten();
        let last = self.last.map(|name| number(name, variable)).transpose()?.flatten();
        let spanned = last.and_then(|last| last.checked_sub(first)).map(|distance| distance / step + 1);
        if let (Some(counted), Some(spanned)) = (counted, spanned)
            && counted != spanned
        {
            let words = format!("the array of {} has {counted} tasks, but not one after the other", self.name);
            return Err(refused(words).hint("a range such as 1-8, or --shard K/N"));
        }
        let told = counted.or(spanned);
        match (told, of_user) {
            (Some(told), Some(of_user)) if told != of_user => {
                Err(refused(format!("the array of {} has {told} tasks, and {COUNT} is {of_user}", self.name))
                    .hint("--shard K/N says which shard this is"))
            }
            _ => told.or(of_user).ok_or_else(|| missing(self.index, self.count.or(self.last).unwrap_or(COUNT))),
        }
    }
}

fn number(name: &str, variable: Variable) -> Result<Option<u64>> {
    let Some(value) = variable(name).filter(|value| value != "undefined") else { return Ok(None) };
    value.parse().map(Some).map_err(|_| refused(format!("{name} is {value:?}, which is no number")))
}

fn missing(index: &str, name: &str) -> Error {
    let error = refused(format!("{index} is set, but not {name}, so nobody knows how many shards there are"));
    error.hint(format!("set {COUNT} to the number of tasks (in Kubernetes: to the Job's completions, under env:)"))
}

fn refused(words: String) -> Error {
    Error::refused(format!("--shard auto: {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shard of a task with these variables, or why there is none.
    fn shard(variables: &str) -> std::result::Result<String, String> {
        let set: Vec<(&str, &str)> = variables.split_whitespace().filter_map(|word| word.split_once('=')).collect();
        let variable = |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        of_array(&variable).map(|shard| shard.to_string()).map_err(|error| error.message)
    }

    fn slurm(id: u64, min: u64, max: u64, step: u64, count: u64) -> String {
        format!(
            "SLURM_ARRAY_TASK_ID={id} SLURM_ARRAY_TASK_MIN={min} SLURM_ARRAY_TASK_MAX={max} \
             SLURM_ARRAY_TASK_STEP={step} SLURM_ARRAY_TASK_COUNT={count}"
        )
    }

    #[test]
    fn the_task_of_an_array_knows_its_shard() {
        let check =
            |variables: &str, expected: &str| assert_eq!(shard(variables), Ok(expected.to_owned()), "{variables}");
        check(&slurm(1, 1, 8, 1, 8), "1/8");
        check(&slurm(0, 0, 7, 1, 8), "1/8");
        check(&slurm(7, 3, 11, 4, 3), "2/3");
        check("SGE_TASK_ID=5 SGE_TASK_FIRST=1 SGE_TASK_LAST=10 SGE_TASK_STEPSIZE=2", "3/5");
        check("AWS_BATCH_JOB_ARRAY_INDEX=0 AWS_BATCH_JOB_ARRAY_SIZE=4", "1/4");
        check("JOB_COMPLETION_INDEX=4 FORKPOOL_SHARDS=5", "5/5");
        check("PBS_ARRAY_INDEX=2 FORKPOOL_SHARDS=5", "2/5");
        check("PBS_ARRAYID=5 FORKPOOL_SHARDS=5", "5/5");
        check("LSB_JOBINDEX=3 LSB_JOBINDEX_STEP=2 LSB_JOBINDEX_END=7", "2/4");
        check("LSB_JOBINDEX=3 LSB_JOBINDEX_STEP=1 FORKPOOL_SHARDS=4", "3/4");
        check("SGE_TASK_ID=undefined LSB_JOBINDEX=0 JOB_COMPLETION_INDEX=1 FORKPOOL_SHARDS=2", "2/2");
        check(&(slurm(2, 1, 8, 1, 8) + " AWS_BATCH_JOB_ARRAY_INDEX=1 AWS_BATCH_JOB_ARRAY_SIZE=8"), "2/8");
    }

    #[test]
    fn what_the_variables_do_not_say_is_refused() {
        let check = |variables: &str, words: &str| {
            let error = shard(variables).expect_err(variables);
            assert!(error.contains(words), "{variables}: {error}");
        };
        check("", "none of SLURM_ARRAY_TASK_ID, SGE_TASK_ID");
        check("SGE_TASK_ID=undefined LSB_JOBINDEX=0", "no task of an array");
        check("JOB_COMPLETION_INDEX=4", "but not FORKPOOL_SHARDS");
        check("PBS_ARRAY_INDEX=1", "but not FORKPOOL_SHARDS");
        check("PBS_ARRAY_INDEX=0 FORKPOOL_SHARDS=8", "none of 8 tasks from 1");
        check("JOB_COMPLETION_INDEX=5 FORKPOOL_SHARDS=5", "none of 5 tasks from 0");
        check("AWS_BATCH_JOB_ARRAY_INDEX=0", "but not AWS_BATCH_JOB_ARRAY_SIZE");
        check("SLURM_ARRAY_TASK_ID=1", "but not SLURM_ARRAY_TASK_MIN");
        check(&slurm(3, 1, 7, 1, 3), "not one after the other");
        check(&slurm(3, 3, 3, 1, 1), "has one task");
        check(&(slurm(3, 1, 8, 1, 8) + " FORKPOOL_SHARDS=4"), "FORKPOOL_SHARDS is 4");
        check("JOB_COMPLETION_INDEX=x FORKPOOL_SHARDS=4", "no number");
        check("PBS_ARRAY_INDEX=1 PBS_ARRAYID=2 FORKPOOL_SHARDS=4", "PBS says that this is shard 1/4, and Torque");
    }
}
