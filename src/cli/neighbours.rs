//! Flags that people know from GNU parallel and xargs and that forkpool does not have. Those that mean the same are
//! aliases, in `args`; for the others this file knows what does it here.

use clap::Error;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Flags of neighbours, and what does here what they do there.
const OTHERS: &[(&[&str], &str)] = &[
    (&["--halt", "--halt-on-error"], "--max-failures N, or --fail-fast"),
    (&["--results", "--files", "--res"], "-o FILE has one record for each job"),
    (&["--delay", "--sshdelay"], "--rate 10/s gives out no more than ten jobs a second"),
    (&["--shuf"], "shuf INPUT | forkpool ...: jobs are given out in the input's order"),
    (&["--colsep", "-C"], "--from csv, with --delimiter C"),
    (&["--header"], "--from csv: the first row is the header; --columns-in NAMES for an input without one"),
    (
        &["--pipe", "--pipepart", "--spreadstdin", "--round-robin"],
        "each line is a job already, and workers stay: --protocol lines",
    ),
    (
        &["-N", "-n", "--max-args", "-L", "-l", "--max-lines", "--max-replace-args"],
        "each line, row or value is one job",
    ),
    (&["-I", "--replace", "-X", "-m", "--xargs"], "the job comes to the worker's stdin, not onto its command line"),
    (&["-0", "--null", "-d"], "--from lines, or --from ndjson for texts with line breaks: tr '\\0' '\\n'"),
    (
        &["--ungroup", "-u", "--line-buffer", "--lb", "--linebuffer", "--group"],
        "--unordered writes records as they finish",
    ),
    (&["--tag", "--tagstring"], "--echo adds the job to its record"),
    (&["-S", "--sshlogin", "--sshloginfile"], "forkpool runs its workers on this machine"),
    (&["--memfree", "--memsuspend"], "--recycle-memory SIZE replaces a worker that grows"),
    (&["--tmpdir"], "the variable TMPDIR"),
    (&["-t", "--verbose-commands"], "-v says when workers start and end"),
    (&["-r", "--no-run-if-empty"], "an empty input runs nothing"),
    (&["--ignore-failed", "-w"], "exit status 1 says that some jobs failed: add || test $? -eq 1"),
];

/// A usage error with a tip that helps: clap's own would make a flag that forkpool does not know the worker's.
pub fn explain(mut error: Error) -> Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    error.remove(ContextKind::Suggested);
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return error };
    if let Some(ours) = ours(typed) {
        let tip = StyledStr::from(format!("here: {ours}"));
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// What does here what this flag of a neighbour does there.
fn ours(typed: &str) -> Option<&'static str> {
    let name = typed.split('=').next().unwrap_or(typed);
    OTHERS.iter().find(|(names, _)| names.contains(&name)).map(|(_, ours)| *ours)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::super::Args;
    use super::*;

    fn said(words: &str) -> String {
        let words = std::iter::once("forkpool").chain(words.split_whitespace());
        explain(Args::try_parse_from(words).expect_err("the flag is not forkpool's")).to_string()
    }

    #[test]
    fn a_neighbours_flag_is_told_what_does_it_here_and_never_made_the_workers() {
        assert!(said("--delay=1 -- w").contains("tip: here: --rate 10/s"), "{}", said("--delay=1 -- w"));
        assert!(said("--halt now,fail=1 w").contains("--max-failures"));
        assert!(said("-S host w").contains("this machine"));
        let typo = said("--time 3 -- w");
        assert!(typo.contains("'--time' found") && !typo.contains("as a value"), "{typo}");
        assert!(said("--colums a -- w").contains("'--columns'"));
    }

    #[test]
    fn no_flag_of_forkpool_is_called_another() {
        let command = Args::command();
        for (names, _) in OTHERS {
            for name in *names {
                let is_ours = |arg: &clap::Arg| {
                    let long = arg.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long));
                    let short = arg.get_short().is_some_and(|short| *name == format!("-{short}"));
                    long || short
                };
                assert!(!command.get_arguments().any(is_ours), "{name}");
            }
        }
    }
}
