//! What a worker is: the command that starts it, and the handler it is supplied for.

use std::ffi::OsString;
use std::path::PathBuf;

/// The program that is started for each slot, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    pub program: OsString,
    pub args: Vec<OsString>,
    pub channel: Channel,
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

/// A handler as the user named it. Messages and a journal say this, and not the command line of the supplied worker,
/// which may look different in the next version.
#[derive(Debug, Clone)]
pub struct HandlerChoice {
    pub file: PathBuf,
    pub function: Option<String>,
    pub route: Option<String>,
    pub runtime: Option<String>,
}
