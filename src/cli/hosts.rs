//! Which hosts there are, how many workers each has, and what carries the stream to its agent.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::args::{Args, HostArgs};
use crate::pool::settings::{Host, HostSettings};
use crate::shims;
use crate::text::shell;
use crate::words::error::{Error, Result, reason};
use crate::words::worker::{Channel, WorkerCommand};

/// What runs on the host.
const AGENT: [&str; 2] = ["forkpool", "--agent"];
/// What runs there instead where there is no forkpool; it is told by its stdin to become the agent.
const SHELL: &str = "sh";
/// Nobody is asked for anything, and a connection that is dead is noticed within a minute.
const SSH: &str = "ssh -T -o BatchMode=yes -o ServerAliveInterval=15 -o ServerAliveCountMax=3 {host}";
/// One step on the node, beside others of the allocation. srun asks back at SIGINT, which it never gets.
const SRUN: &str = "srun -Q --overlap -N1 -n1 -w {host}";

/// The hosts of a run; `None` if its workers are on this machine.
pub fn hosts(args: &Args) -> Result<Option<HostSettings>> {
    let HostArgs { hosts, hosts_from, launch, env, put, .. } = &args.hosts;
    let mut named: Vec<(String, Option<usize>)> = hosts.iter().map(|text| parse(text)).collect::<Result<_>>()?;
    let is_slurm = hosts_from.as_ref().is_some_and(|path| path.as_os_str() == "slurm");
    match hosts_from {
        None => {}
        Some(_) if is_slurm => named.extend(of_slurm()?),
        Some(path) => named.extend(of_file(path)?),
    }
    if named.is_empty() {
        let given = [(launch.is_some(), "--launch"), (!env.is_empty(), "--env"), (!put.is_empty(), "--put")];
        return match given.iter().find(|(is_given, _)| *is_given) {
            Some((_, flag)) => Err(Error::refused(format!("{flag} is for workers on other hosts")).hint("--host HOST")),
            None if hosts_from.is_some() => Err(Error::refused("--hosts: there is no host in it")),
            None => Ok(None),
        };
    }
    if let Some(name) = env.iter().find(|name| std::env::var_os(name).is_none()) {
        return Err(Error::refused(format!("--env {name}: there is no such variable")));
    }
    let template = launch.as_deref().unwrap_or(if is_slurm { SRUN } else { SSH });
    let list = merged(named).into_iter().map(|(name, workers)| {
        let (command, shell) = commands(&name, template, launch.is_some())?;
        let name = if name.is_empty() { "localhost".to_owned() } else { name };
        Ok(Host { name, workers, command, shell })
    });
    Ok(Some(HostSettings {
        list: list.collect::<Result<_>>()?,
        words: std::env::args_os().collect(),
        directory: std::env::current_dir().ok(),
        env: env.clone(),
        files: files(args, put)?,
    }))
}

/// `node1:8`, or ":" and ":8" for this machine.
fn parse(text: &str) -> Result<(String, Option<usize>)> {
    let (name, workers) = match text.rsplit_once(':') {
        Some((name, "")) => (name, None),
        Some((name, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            let workers = digits.parse().ok().filter(|&workers: &usize| (1..=65_536).contains(&workers));
            let refused = || Error::refused(format!("--host {text}: the number of workers must be 1 to 65536"));
            (name, Some(workers.ok_or_else(refused)?))
        }
        _ => (text, None),
    };
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '\\');
    if name.starts_with('-') || name.contains(is_odd) || (name.is_empty() && text.is_empty()) {
        return Err(Error::refused(format!("{text:?} is no name of a host")));
    }
    Ok((name.to_owned(), workers))
}

/// The hosts of a file: one a line, with `#` before what is not for us.
fn of_file(path: &Path) -> Result<Vec<(String, Option<usize>)>> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::refused(format!("cannot read --hosts {name}: {}", reason(&error))))?;
    let mut hosts = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let host = line.split('#').next().unwrap_or_default().trim();
        if !host.is_empty() {
            hosts.push(
                parse(host)
                    .map_err(|error| Error { message: format!("{name}: line {number}: {}", error.message), ..error })?,
            );
        }
    }
    Ok(hosts)
}

/// The nodes of the Slurm allocation that this process runs in, with the processors that it has on each.
fn of_slurm() -> Result<Vec<(String, Option<usize>)>> {
    let outside = || Error::refused("--hosts slurm: this is no Slurm allocation (SLURM_JOB_NODELIST is not set)");
    let list = std::env::var("SLURM_JOB_NODELIST").map_err(|_| outside().hint("salloc, or sbatch"))?;
    let output = Command::new("scontrol").args(["show", "hostnames", &list]).output();
    let output = output.map_err(|error| Error::refused(format!("cannot run scontrol: {}", reason(&error))))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::refused(format!("scontrol show hostnames {list} failed: {said}")));
    }
    let names = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>();
    let counts = std::env::var("SLURM_JOB_CPUS_PER_NODE").ok().and_then(|text| processors(&text));
    let counts = counts.filter(|counts| counts.len() == names.len());
    Ok(names.into_iter().enumerate().map(|(at, name)| (name, counts.as_ref().map(|counts| counts[at]))).collect())
}

/// `4(x2),3` is 4, 4, 3.
fn processors(text: &str) -> Option<Vec<usize>> {
    let mut counts = Vec::new();
    for part in text.split(',') {
        let (count, times) = match part.split_once("(x") {
            Some((count, times)) => (count, times.strip_suffix(')')?.parse().ok()?),
            None => (part, 1),
        };
        counts.extend(std::iter::repeat_n(count.parse::<usize>().ok()?, times));
    }
    Some(counts)
}

/// Each host once. One that is named several times has the sum of its workers, one for each time that names no number.
fn merged(named: Vec<(String, Option<usize>)>) -> Vec<(String, Option<usize>)> {
    let mut seen = HashSet::new();
    let once: Vec<String> =
        named.iter().filter(|(name, _)| seen.insert(name.clone())).map(|(name, _)| name.clone()).collect();
    let workers = |name: &String| {
        let all: Vec<Option<usize>> =
            named.iter().filter(|(other, _)| other == name).map(|(_, workers)| *workers).collect();
        if all.len() == 1 { all[0] } else { Some(all.iter().map(|workers| workers.unwrap_or(1)).sum()) }
    };
    once.into_iter().map(|name| (name.clone(), workers(&name))).collect()
}

/// What carries the stream to the agent of a host, and to a shell there, if the agent is to be any forkpool that fits.
fn commands(host: &str, template: &str, is_own: bool) -> Result<(WorkerCommand, Option<WorkerCommand>)> {
    if host.is_empty() {
        let own = std::env::current_exe()
            .map_err(|error| Error::refused(format!("cannot tell where forkpool is: {}", reason(&error))))?;
        return Ok((command(vec![own.into_os_string(), AGENT[1].into()]), None));
    }
    let words = shell::split(template).map_err(|why| Error::refused(format!("--launch: {why}")))?;
    if words.is_empty() {
        return Err(Error::refused("--launch: it is empty"));
    }
    if is_own && !template.contains("{host}") {
        return Err(Error::refused("--launch: it does not name {host}").hint("--launch 'ssh -T {host}'"));
    }
    let has_agent = words.last().is_some_and(|word| word == AGENT[1]);
    let way: Vec<OsString> = words.iter().map(|word| word.replace("{host}", host).into()).collect();
    if has_agent {
        return Ok((command(way), None));
    }
    let to = |end: &[&str]| command(way.iter().cloned().chain(end.iter().map(OsString::from)).collect());
    Ok((to(&AGENT), Some(to(&[SHELL]))))
}

/// The command of these words, of which there is one at least.
fn command(mut words: Vec<OsString>) -> WorkerCommand {
    let program = words.remove(0);
    WorkerCommand { wrap: Vec::new(), program, args: words, channel: Channel::Stdio, env: Vec::new() }
}

/// What is sent along: the handler's file, and what --put names.
fn files(args: &Args, put: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let handler = args.workers.handler.as_deref().map(|handler| PathBuf::from(shims::split(handler).0));
    let files: Vec<PathBuf> = handler.into_iter().chain(put.iter().cloned()).collect();
    let mut names = HashSet::new();
    for file in &files {
        let refused = |why: &str| Err(Error::refused(format!("--put {}: {why}", file.display())));
        match std::fs::metadata(file) {
            Err(error) => return refused(&reason(&error)),
            Ok(metadata) if !metadata.is_file() => return refused("it is no regular file"),
            Ok(_) => {}
        }
        if !names.insert(file.file_name()) {
            return refused("another file of this name is sent along");
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, Option<usize>) {
        parse(text).unwrap()
    }

    #[test]
    fn a_host_is_a_name_and_perhaps_a_number_of_workers() {
        assert_eq!(parsed("node1"), ("node1".to_owned(), None));
        assert_eq!(parsed("ada@node1:8"), ("ada@node1".to_owned(), Some(8)));
        assert_eq!(parsed("[::1]:8"), ("[::1]".to_owned(), Some(8)));
        assert_eq!((parsed(":"), parsed(":4")), ((String::new(), None), (String::new(), Some(4))));
        for odd in ["", "-oProxyCommand=x", "a b", "a\"b", "a:0", "a:99999999999999999999", "a\nb"] {
            assert!(parse(odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_host_that_is_named_several_times_has_as_many_workers() {
        let named = ["a", "b:2", "a", "b", "c"].map(parsed).to_vec();
        let expected = [("a", Some(2)), ("b", Some(3)), ("c", None)];
        assert_eq!(merged(named), expected.map(|(name, workers)| (name.to_owned(), workers)));
    }

    #[test]
    fn slurm_counts_processors_node_by_node() {
        assert_eq!(processors("4(x2),3"), Some(vec![4, 4, 3]));
        assert_eq!((processors("8"), processors("8(x")), (Some(vec![8]), None));
    }

    #[test]
    fn the_agent_is_put_behind_what_leads_to_the_host() {
        let words = |host: &str, template: &str| {
            let (command, _) = commands(host, template, true).unwrap();
            std::iter::once(command.program)
                .chain(command.args)
                .map(|word| word.into_string().unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(words("n1", "kubectl exec -i {host} --"), "kubectl exec -i n1 -- forkpool --agent");
        assert_eq!(words("n1", "ssh {host} ~/bin/forkpool --agent"), "ssh n1 ~/bin/forkpool --agent");
        assert!(words("", "ssh {host}").ends_with(" --agent"));
        assert!(commands("n1", "ssh node", true).is_err() && commands("n1", "ssh '", true).is_err());
    }
}
