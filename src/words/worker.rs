//! What a worker is: the command that starts it, and the handler it is supplied for.

use std::ffi::OsString;
use std::path::PathBuf;

/// The program that is started for each slot, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The words of a command that is put before the program's (`--wrap`), with `{slot}` for the number of the slot.
    pub wrap: Vec<String>,
    pub program: OsString,
    pub args: Vec<OsString>,
    pub channel: Channel,
    /// Variables beside those of this process.
    pub env: Vec<(OsString, OsString)>,
}

impl WorkerCommand {
    /// What is executed for a slot: the program that is started, and its arguments.
    pub fn words(&self, slot: u32) -> (OsString, Vec<OsString>) {
        let slot = slot.to_string();
        let wrap = self.wrap.iter().map(|word| OsString::from(word.replace("{slot}", &slot)));
        let mut words = wrap.chain(std::iter::once(self.program.clone()));
        let first = words.next().expect("the program is a word");
        (first, words.chain(self.args.iter().cloned()).collect())
    }
}

/// Which descriptors of the worker carry the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The worker reads jobs on stdin and writes replies on stdout.
    Stdio,
    /// Jobs come on descriptor 3 and replies go to 4; stdin is empty, stdout goes to stderr.
    Private,
    /// A socket on descriptor 3, as `child_process.fork` makes it; stdin is empty, stdout goes to stderr.
    NodeIpc,
}

/// Stands for the template (`--preload`), which has no slot, where processes are told apart by their slots.
pub const TEMPLATE: u32 = u32::MAX;

/// `w3`, or `template`: how a process that writes to its stderr is called.
pub fn process_name(slot: u32) -> String {
    if slot == TEMPLATE { "template".to_owned() } else { format!("w{slot}") }
}

/// A handler as the user named it. Messages and a journal say this, and not the command line of the supplied worker,
/// which may look different in the next version.
#[derive(Debug, Clone)]
pub struct HandlerChoice {
    pub file: PathBuf,
    pub function: Option<String>,
    pub route: Option<String>,
    pub runtime: Option<String>,
    /// The function of the file that is called once in each worker, before its first job.
    pub init: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapper_goes_before_the_program_and_knows_its_slot() {
        let words = |wrap: &[&str]| {
            let wrap = wrap.iter().map(|word| word.to_string()).collect();
            let args = vec!["{slot}".into()];
            let command = WorkerCommand { wrap, program: "w".into(), args, channel: Channel::Stdio, env: Vec::new() };
            let (program, args) = command.words(12);
            std::iter::once(program).chain(args).map(|word| word.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(words(&[]), ["w", "{slot}"], "only the wrapper's own words are changed");
        assert_eq!(words(&["taskset", "-c", "{slot}"]), ["taskset", "-c", "12", "w", "{slot}"]);
        assert_eq!(words(&["env", "A={slot}/{slot}{", "B="]), ["env", "A=12/12{", "B=", "w", "{slot}"]);
    }
}
