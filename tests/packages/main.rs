//! The packages that `src/clients/build` makes, each installed into an empty place without a network, and used from
//! there.
//!
//! The program is built twice here, which takes minutes, so all of this runs only where nothing may be skipped
//! (FORKPOOL_TEST_ALL=1). It is a crate of its own so that the compiler is not busy while other tests measure time.

#[allow(dead_code)]
#[path = "../end_to_end/support/mod.rs"]
mod support;

// What all of them need: the packages, a place without a network, what is expected of any command.
mod command;
mod made;
mod offline;

// The kinds of packages.
mod archive;
mod binary;
mod debian;
mod from_source;
mod node;
mod wheel;
