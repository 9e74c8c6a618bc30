//! The words of the program: what everybody may know. Nothing here reads, waits or decides.

pub mod advice;
pub mod cancel;
pub mod dialect;
pub mod doing;
pub mod error;
pub mod exit;
pub mod format;
pub mod host;
pub mod job;
pub mod layout;
pub mod message;
pub mod outcome;
pub mod rate;
pub mod shard;
pub mod slots;
pub mod worker;
