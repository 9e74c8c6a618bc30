//! What slots are called: `w3`, or the name of a host.

use std::sync::Arc;

use super::worker::process_name;

/// The names of the slots of a run.
#[derive(Debug, Clone, Default)]
pub struct SlotNames(Arc<[String]>);

impl SlotNames {
    /// Each slot is a host, and these are their names.
    pub fn of_hosts(names: impl IntoIterator<Item = String>) -> SlotNames {
        SlotNames(names.into_iter().collect())
    }

    pub fn name(&self, slot: u32) -> String {
        self.0.get(slot as usize).cloned().unwrap_or_else(|| process_name(slot))
    }

    /// What stands before a line that came from a slot, and what is left of the line: `w3: `, or `node1/w3: ` where the
    /// line is one of a worker there, which the agent has marked so.
    pub fn mark<'a>(&self, slot: u32, line: &'a [u8]) -> (String, &'a [u8]) {
        let name = self.name(slot);
        match of_worker(line).filter(|_| !self.0.is_empty()) {
            Some(length) => (format!("{name}/{}", String::from_utf8_lossy(&line[..length])), &line[length..]),
            None => (format!("{name}: "), line),
        }
    }
}

/// How long the mark of a worker is that a line begins with: `w3: `, `template: `.
fn of_worker(line: &[u8]) -> Option<usize> {
    const TEMPLATE: &[u8] = b"template: ";
    if line.starts_with(TEMPLATE) {
        return Some(TEMPLATE.len());
    }
    let rest = line.strip_prefix(b"w")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0 && rest[digits..].starts_with(b": ")).then_some(1 + digits + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_marked_with_its_host_and_worker() {
        let check = |names: &SlotNames, line: &str, expected: &str| {
            let (mark, rest) = names.mark(1, line.as_bytes());
            assert_eq!(mark + std::str::from_utf8(rest).unwrap(), expected);
        };
        let hosts = SlotNames::of_hosts(["a".to_owned(), "b".to_owned()]);
        check(&hosts, "w3: hello", "b/w3: hello");
        check(&hosts, "template: hello", "b/template: hello");
        check(&hosts, "w: hello", "b: w: hello");
        check(&hosts, "w3:hello", "b: w3:hello");
        check(&hosts, "Permission denied", "b: Permission denied");
        check(&SlotNames::default(), "w3: hello", "w1: w3: hello");
    }
}
