//! The names of hosts, as numbers that are small enough to stand in each outcome, and how their agents are started.

use std::sync::{Mutex, PoisonError};

/// A host by its number; `HERE` is the machine that forkpool itself runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostId(u16);

/// The names of all hosts that were ever named in this process, each at the place of its number less one. Names are
/// only added, so a number means the same for ever.
static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How the agent of a host is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// forkpool is installed there.
    Installed,
    /// By a shell, which gets this program.
    Brought,
}

impl HostId {
    pub const HERE: HostId = HostId(0);

    /// The number of the host of this name. Past 65,535 names all others share the last number.
    pub fn of(name: &str) -> HostId {
        // The names are whole after a panic, too.
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        let at = names.iter().position(|known| known == name).unwrap_or_else(|| {
            if names.len() < usize::from(u16::MAX) {
                names.push(name.to_owned());
            }
            names.len() - 1
        });
        HostId(u16::try_from(at + 1).unwrap_or(u16::MAX))
    }

    /// The number, 0 for this machine, for outcomes that wait on disk.
    pub fn number(self) -> u16 {
        self.0
    }

    /// The host of a number that `number` gave in this process.
    pub fn of_number(number: u16) -> HostId {
        HostId(number)
    }

    /// The name, unless it is this machine.
    pub fn name(self) -> Option<String> {
        let at = usize::from(self.0).checked_sub(1)?;
        NAMES.lock().unwrap_or_else(PoisonError::into_inner).get(at).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number_and_this_machine_has_none() {
        let (one, other) = (HostId::of("a host of this test"), HostId::of("another host of this test"));
        assert_ne!(one, other);
        assert_eq!(HostId::of("a host of this test"), one);
        assert_eq!(other.name().as_deref(), Some("another host of this test"));
        assert_eq!((HostId::HERE.name(), HostId::default()), (None, HostId::HERE));
    }
}
