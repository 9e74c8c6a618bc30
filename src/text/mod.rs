//! Bytes and text, whatever they mean: lines, pieces on their way out, JSON that is not parsed, words for people.

pub mod destination;
pub mod framing;
pub mod gather;
pub mod json;
pub mod magic;
pub mod people;
pub mod redact;
pub mod shell;
