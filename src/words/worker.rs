//! What a worker is: the command that starts it, and the handler it is supplied for.

use std::ffi::OsString;
use std::path::PathBuf;

/// What is started for each slot.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    pub program: OsString,
    pub args: Vec<OsString>,
    pub channel: Channel,
}

/// Which descriptors of the worker carry the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// stdin and stdout.
    Stdio,
    /// Descriptors 3 and 4; stdin is empty, stdout goes to stderr.
    Private,
    /// A socket on descriptor 3, as `child_process.fork` makes it; stdin is empty, stdout goes to stderr.
    NodeIpc,
}

/// A handler as it was asked for. People, and a journal, care about this, and not about the supplied worker's
/// command line, which may look different in the next version.
#[derive(Debug, Clone)]
pub struct HandlerChoice {
    pub file: PathBuf,
    pub function: Option<String>,
    pub route: Option<String>,
    pub runtime: Option<String>,
}
