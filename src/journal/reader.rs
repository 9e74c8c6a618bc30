//! Reads a journal whatever has happened to it: each sound line is found, and the damage between them is
//! told apart. Nothing is changed here, and no more than one line is held in memory.
//!
//! What is expected: a last line that was half written, blocks of zeroes after a power cut, and a flipped bit,
//! a lost or a strange piece in the middle. A line counts only whole: its checksum holds, and it has its end.

use std::io::{self, Read};
use std::ops::{ControlFlow, Range};

use super::format::{self, Entry, Line, MARK, Seal};
use super::identity::JournalHeader;

/// What was found beside the outcomes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The last sound header, and where it stands. A journal has several if its worker was changed between runs.
    pub header: Option<JournalHeader>,
    pub header_at: u64,
    /// The last sound outcome is of a run with the header that was expected.
    pub ends_as_expected: bool,
    /// The seals of the outcomes: that of the expected header first, then those of other headers that were found.
    pub seals: Vec<Seal>,
    /// Sound outcomes.
    pub outcomes: u64,
    /// Where the file holds neither a sound line nor a blank one, in order, not touching each other.
    pub damage: Vec<Range<u64>>,
    pub length: u64,
    /// The file begins as a journal does, as far as there is anything.
    pub begins_well: bool,
    /// Some line has its end, sound or not.
    pub has_lines: bool,
}

/// The file is read in pieces of this size: large enough to make the call's own cost vanish.
const READ: usize = 1 << 20;

/// At how many places, at most, a damaged line is searched for the beginning of a sound one. There is only one such
/// place, unless lines of another journal are among the results.
const TRIES: usize = 64;

/// Reads all of `input`, which should be the journal of a run with the header `expected`, and tells `found` of each
/// outcome and the place of its line. Ends at the first header of a run whose jobs could not be known again.
pub fn scan(mut input: impl Read, expected: &JournalHeader, found: impl FnMut(u64, &Entry)) -> io::Result<Scan> {
    let scan = Scan { begins_well: true, seals: vec![Seal::of(expected)], ..Scan::default() };
    let mut scanner = Scanner { expected, found, scan };
    let mut buffer: Vec<u8> = Vec::new();
    // No line ends before this place of the buffer.
    let mut searched = 0;
    loop {
        let got = input.by_ref().take(READ as u64).read_to_end(&mut buffer)?;
        // Where the buffer begins, in the file.
        let base = scanner.scan.length - (buffer.len() - got) as u64;
        if scanner.scan.length == 0 {
            scanner.scan.begins_well = buffer.iter().zip(MARK).all(|(byte, expected)| byte == expected || *byte == 0);
        }
        scanner.scan.length += got as u64;
        let mut start = 0;
        while let Some(end) = memchr::memchr(b'\n', &buffer[searched..]).map(|at| searched + at) {
            if scanner.line(base + start as u64, &buffer[start..end]).is_break() {
                return Ok(scanner.scan);
            }
            start = end + 1;
            searched = start;
        }
        // No line begins with a zero: a block of them, however large, need not be kept.
        let zeroes = buffer[start..].iter().take_while(|&&byte| byte == 0).count();
        scanner.scan.mark_damage(base + start as u64..base + (start + zeroes) as u64);
        buffer.drain(..start + zeroes);
        searched = buffer.len();
        if got == 0 {
            // What is left has no line end: it was half written.
            let length = scanner.scan.length;
            scanner.scan.mark_damage(length - buffer.len() as u64..length);
            return Ok(scanner.scan);
        }
    }
}

/// Makes something of each line.
struct Scanner<'a, F> {
    expected: &'a JournalHeader,
    found: F,
    scan: Scan,
}

impl<F: FnMut(u64, &Entry)> Scanner<'_, F> {
    /// Takes the line that begins at `place`, without its end. Breaks at the header of a run whose jobs could not be
    /// known again.
    fn line(&mut self, place: u64, line: &[u8]) -> ControlFlow<()> {
        self.scan.has_lines = true;
        let Some((skipped, sound, seal)) = sound_part(line, &self.scan.seals) else {
            // A line of blanks is a place that was repaired.
            if !line.iter().all(|&byte| byte == b' ') {
                self.scan.mark_damage(place..place + line.len() as u64 + 1);
            }
            return ControlFlow::Continue(());
        };
        self.scan.mark_damage(place..place + skipped as u64);
        let place = place + skipped as u64;
        match sound {
            Line::Outcome(entry) => {
                self.scan.outcomes += 1;
                self.scan.ends_as_expected = seal == self.scan.seals[0];
                (self.found)(place, &entry);
            }
            Line::Header(header) => {
                let can_go_on = self.expected.knows_jobs_of(&header);
                self.scan.take_header(header, place);
                if !can_go_on {
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl Scan {
    fn take_header(&mut self, header: JournalHeader, place: u64) {
        let seal = Seal::of(&header);
        if !self.seals.contains(&seal) {
            self.seals.push(seal);
        }
        self.ends_as_expected = seal == self.seals[0];
        (self.header, self.header_at) = (Some(header), place);
    }

    fn mark_damage(&mut self, range: Range<u64>) {
        match self.damage.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.damage.push(range),
        }
    }
}

/// The sound part of a line: how many bytes come before it, what it holds, and its seal.
fn sound_part<'a>(line: &'a [u8], seals: &[Seal]) -> Option<(usize, Line<'a>, Seal)> {
    // The seal that was found last is tried first: most lines to come have it.
    let seals = || seals.iter().rev();
    if let Some((sound, seal)) = seals().find_map(|&seal| Some((format::read(line, seal)?, seal))) {
        return Some((0, sound, seal));
    }
    // A sound line may begin within this one: the end of the line before it may be lost, or something strange may stand
    // before it.
    let places = memchr::memmem::find_iter(line, MARK).filter(|&at| at > 0).take(TRIES);
    places.into_iter().find_map(|at| {
        let (sound, seal) = seals().find_map(|&seal| Some((format::read_within(&line[at..], seal)?, seal)))?;
        Some((at, sound, seal))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::journal::testing::header;
    use crate::words::job::{Job, JobKey};
    use crate::words::outcome::{Outcome, Status};

    /// The lines of a journal with these payloads, the header first.
    fn lines(payloads: &[String]) -> Vec<Vec<u8>> {
        let mut lines = vec![Vec::new()];
        format::write_header(&header(), &mut lines[0]);
        for (number, payload) in (1_u64..).zip(payloads) {
            let outcome = Outcome {
                job: Job { number, line: number, data: Bytes::new(), extra: None },
                status: Status::ALL[number as usize % 5],
                payload: Bytes::copy_from_slice(payload.as_bytes()),
                attempts: 1,
                host: crate::words::host::HostId::HERE,
                worker: Some(0),
                batch: 0,
                began: None,
                elapsed: Duration::from_nanos(number),
            };
            let key = JobKey { digest: u128::from(number) << 64, occurrence: 0 };
            let mut line = Vec::new();
            format::write_outcome(&outcome, key, Seal::of(&header()), &mut line);
            lines.push(line);
        }
        lines
    }

    /// Reads in small pieces, as from a slow disk.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let length = into.len().min(self.1).min(self.0.len());
            into[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    /// The numbers of the lines that are found, and the scan. Checks that each line was found at its place.
    fn read(bytes: &[u8]) -> (Vec<usize>, Scan) {
        let mut numbers = Vec::new();
        let scan = scan(Pieces(bytes, 700), &header(), |place, entry| {
            assert!(bytes[usize::try_from(place).unwrap()..].starts_with(MARK));
            numbers.push(usize::try_from(entry.key.digest >> 64).unwrap());
        });
        let scan = scan.unwrap();
        assert_eq!(scan.outcomes, numbers.len() as u64);
        (numbers, scan)
    }

    #[derive(Debug, Clone)]
    enum Harm {
        Flip(Index, u8),
        Cut(Index, usize),
        Zero(Index, usize),
        Insert(Index, Vec<u8>),
    }

    impl Harm {
        fn apply(&self, bytes: &mut Vec<u8>) {
            let all = bytes.len();
            let part = |at: &Index, length: usize| {
                let start = at.index(all);
                start..(start + length).min(all)
            };
            match self {
                _ if bytes.is_empty() => {}
                Harm::Flip(at, bits) => bytes[at.index(all)] ^= bits,
                Harm::Cut(at, length) => drop(bytes.drain(part(at, *length))),
                Harm::Zero(at, length) => bytes[part(at, *length)].fill(0),
                Harm::Insert(at, strange) => {
                    bytes.splice(part(at, 0), strange.iter().copied());
                }
            }
        }
    }

    fn harm() -> impl Strategy<Value = Harm> {
        let strange = prop_oneof![
            prop::collection::vec(any::<u8>(), 1..40),
            Just(b"\n".to_vec()),
            Just(MARK.to_vec()),
            Just(b"   ".to_vec()),
        ];
        prop_oneof![
            (any::<Index>(), 1..=255_u8).prop_map(|(at, bits)| Harm::Flip(at, bits)),
            (any::<Index>(), 1..400_usize).prop_map(|(at, length)| Harm::Cut(at, length)),
            (any::<Index>(), 1..4096_usize).prop_map(|(at, length)| Harm::Zero(at, length)),
            (any::<Index>(), strange).prop_map(|(at, strange)| Harm::Insert(at, strange)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..crate::testing::random() })]

        #[test]
        fn every_undamaged_line_is_found_and_no_damaged_one(
            payloads in prop::collection::vec(
                "\\{\"sum\":\"[0-9a-f]{16}\",\"key\":[1-9]{1,3}\\}|\\{\"a\":\"[a-z ]{0,300}\"\\}|[1-9]{1,5}", 0..20),
            harms in prop::collection::vec(harm(), 0..6),
        ) {
            let lines = lines(&payloads);
            let mut bytes = lines.concat();
            for harm in &harms {
                harm.apply(&mut bytes);
            }
            // No two lines are equal, so a line that is found in the damaged bytes is that line.
            let is_whole = |line: &usize| memchr::memmem::find(&bytes, &lines[*line]).is_some();
            let expected: Vec<usize> = (1..lines.len()).filter(is_whole).collect();
            let (found, scan) = read(&bytes);
            prop_assert_eq!(scan.header.is_some(), is_whole(&0));
            prop_assert_eq!(found, expected);
            prop_assert_eq!(scan.length, bytes.len() as u64);
            if harms.is_empty() {
                prop_assert_eq!(scan.damage, vec![]);
            } else {
                prop_assert!(scan.damage.windows(2).all(|two| two[0].end < two[1].start));
                prop_assert!(scan.damage.iter().all(|range| !range.is_empty() && range.end <= scan.length));
            }
        }
    }

    #[test]
    fn a_sound_line_is_found_behind_a_lost_line_end() {
        let lines = lines(&["1".to_owned(), "2".to_owned(), "3".to_owned()]);
        let mut bytes = lines.concat();
        let end = lines[0].len() + lines[1].len();
        bytes.remove(end - 1);
        let (found, scan) = read(&bytes);
        assert_eq!(found, [2, 3]);
        assert_eq!(scan.damage, vec![lines[0].len() as u64..end as u64 - 1]);
    }

    #[test]
    fn blocks_of_zeroes_are_damage_and_take_no_memory() {
        let lines = lines(&["1".to_owned(), "2".to_owned()]);
        let zeroes = vec![0; 3 << 20];
        let bytes = [&lines[0], &lines[1], &zeroes, &lines[2], &zeroes].map(Vec::as_slice).concat();
        let (found, scan) = read(&bytes);
        assert_eq!(found, [1, 2]);
        assert_eq!(scan.damage.len(), 2);
        assert_eq!(scan.damage[1].end, bytes.len() as u64);
        let only_zeroes = read(&zeroes).1;
        assert!(only_zeroes.begins_well && !only_zeroes.has_lines);
    }

    #[test]
    fn outcomes_of_a_worker_that_was_changed_are_found_too() {
        let mut bytes = lines(&["1".to_owned(), "2".to_owned()]).concat();
        let other = crate::journal::identity::testing::other_code();
        let at = bytes.len() as u64;
        format::write_header(&other, &mut bytes);
        let (found, scan) = read(&bytes);
        assert_eq!((found, scan.header, scan.header_at), (vec![1, 2], Some(other.clone()), at));
        assert!(!scan.ends_as_expected);
        // The same file, read by a run of the other worker.
        let mut count = 0;
        let scan = super::scan(&bytes[..], &other, |_, _| count += 1).unwrap();
        assert_eq!((count, scan.seals.len(), scan.ends_as_expected), (2, 2, true));
    }

    #[test]
    fn reading_ends_at_the_header_of_another_journal() {
        let mut other = header();
        other.version = 9;
        let mut bytes = Vec::new();
        format::write_header(&other, &mut bytes);
        bytes.extend_from_slice(&lines(&["1".to_owned()]).concat());
        let (found, scan) = read(&bytes);
        assert_eq!((found, scan.header.map(|header| header.version)), (vec![], Some(9)));
    }

    #[test]
    fn some_other_file_does_not_begin_well() {
        let begins_well = |bytes: &[u8]| read(bytes).1.begins_well;
        assert!(begins_well(b"") && begins_well(b"{\"su") && begins_well(b"{\"sum\":\"00\0\0"));
        assert!(!begins_well(b"name,age\n") && !begins_well(b"{\"a\":1}\n"));
    }
}
