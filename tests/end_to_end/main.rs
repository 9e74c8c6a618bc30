//! The real binary, run as a user runs it. What one piece decides alone is tested beside it, under `src/`.
//!
//! All of it is one crate, so that it is linked once and its tests, which mostly wait, wait side by side.

mod support;

// What goes in and what comes out.
mod check;
mod cli;
mod compressed;
mod first_mistakes;
mod formats;
mod handlers;
mod hosts;
mod json_files;
mod node_ipc;
mod report_files;
mod reporting;
mod shards;
mod tables;

// The command behind a program.
mod clients;

// Jobs and workers that fail.
mod between_slots;
mod deaths;
mod hostile;
mod orphans;
mod process;
mod recycling;
mod retries;
mod timeouts;

// Runs that are stopped, cut short or starved.
mod journal;
mod memory;
mod preflight;
mod signals;
mod starvation;

// Everything at once.
mod chaos;

// Whether the documents are true.
mod docs;
mod samples;
