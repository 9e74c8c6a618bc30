//! An error that ends the run: what went wrong, where, what to do next, and the exit status it leads to.
//!
//! Failures of single jobs are data ([`crate::words::outcome::JobError`]), not this.

use crate::words::exit::Exit;

/// Shown once, as `forkpool: error: MESSAGE` and perhaps `hint: HINT`: by `main` if the run was refused, else at the
/// end of the run.
#[derive(Debug, Clone)]
pub struct Error {
    pub exit: Exit,
    pub message: String,
    pub hint: Option<String>,
}

/// What to do when descriptors, processes or threads run short.
pub const HIGHER_LIMIT: &str = "a higher limit (ulimit -n, ulimit -u), or fewer workers (-j)";

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(exit: Exit, message: impl Into<String>) -> Error {
        Error { exit, message: message.into(), hint: None }
    }

    /// Refused before any job was run (exit status 2).
    pub fn refused(message: impl Into<String>) -> Error {
        Error::new(Exit::Refused, message)
    }

    /// The pool cannot go on (exit status 3).
    pub fn pool(message: impl Into<String>) -> Error {
        Error::new(Exit::PoolFailed, message)
    }

    /// Input, output or journal failed during the run (exit status 4).
    pub fn io(message: impl Into<String>) -> Error {
        Error::new(Exit::IoFailed, message)
    }

    /// The system gives no thread (exit status 3).
    pub fn no_thread(error: &std::io::Error) -> Error {
        Error::pool(format!("cannot start a thread: {}", reason(error))).hint(HIGHER_LIMIT)
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "forkpool: error: {}", crate::text::people::escape(&self.message))?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {}", crate::text::people::escape(hint))?;
        }
        Ok(())
    }
}

/// The words of an I/O error without Rust's `(os error 2)`.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}
