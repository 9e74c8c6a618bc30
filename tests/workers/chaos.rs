//! A hostile worker, scripted by its jobs.

fn main() {}
