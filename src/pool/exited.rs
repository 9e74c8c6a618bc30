//! How a worker's process ended, as the system tells it.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exited {
    pub how: How,
    /// Bytes of the worker's stdin that it never read; `None` where the system cannot tell.
    pub unread: Option<u64>,
    /// Since the worker was started the kernel has killed some process for want of memory: this one, most likely, if it
    /// was killed by SIGKILL.
    pub out_of_memory: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Code(i32),
    Signal(i32),
}

impl std::fmt::Display for How {
    /// `was killed by SIGSEGV`, `exited with status 3`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            How::Code(code) => write!(f, "exited with status {code}"),
            How::Signal(signal) => write!(f, "was killed by {}", signal_name(*signal)),
        }
    }
}

/// `SIGSEGV`
pub fn signal_name(signal: i32) -> String {
    signal_hook::low_level::signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}
