//! The run clock: the time that this process was given.
//!
//! Time the machine did not give to the process is nobody's: no job is late because everything was stopped by
//! SIGSTOP, a container was paused, a control group was frozen or a virtual machine was suspended. Nobody tells
//! a process of these, so a thread beats four times a second; a beat that comes much too late shows that the
//! process did not run, and the time beyond a usual beat is left out of the clock for ever. Ctrl-Z, which we
//! are told of, stops the clock and `fg` lets it go on.
//!
//! A gap of less than a second is counted like any other time: a process that is merely slow, on a busy machine or
//! under a processor quota, is not taken for one that was stopped. The arithmetic is `Beats`, which is handed the real
//! time.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The time between two beats. Of a gap one beat is counted, so a beat is to be short beside any time limit; four
/// wake-ups a second cost nothing that can be measured.
const BEAT: Duration = Duration::from_millis(250);
/// A beat that is this late shows that the process was not run. A thread may wait tens of milliseconds for
/// its turn on a busy machine, but not a second.
const LATE: Duration = Duration::from_secs(1);

/// A clock that all threads of a run share. It never goes backwards.
#[derive(Debug, Clone)]
pub struct Clock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Real time is counted from here, in nanoseconds: a `u64` holds 584 years.
    epoch: Instant,
    /// Held by whoever changes `beats`: the beating thread, and whoever stops the clock.
    changes: Mutex<()>,
    /// Odd while `beats` is being changed. A reader that sees it change reads again, so readers never wait for
    /// each other.
    version: AtomicU64,
    beats: [AtomicU64; 3],
    /// The latest time that anybody was shown while a beat was overdue: the clock must not fall behind it.
    shown: AtomicU64,
}

impl Clock {
    /// A clock that goes, with the thread that beats for it. The thread ends by itself within a beat after the
    /// last clone of the clock was dropped, and with the process.
    pub fn start() -> std::io::Result<Clock> {
        let clock = Clock::without_beats();
        let shared = Arc::downgrade(&clock.shared);
        let beat = move || {
            loop {
                std::thread::sleep(BEAT);
                let Some(shared) = shared.upgrade() else { return };
                shared.change(Beats::beat);
            }
        };
        // The thread does nothing but sleep and beat, so it gets a small stack.
        std::thread::Builder::new().name("clock".to_owned()).stack_size(STACK).spawn(beat)?;
        Ok(clock)
    }

    fn without_beats() -> Clock {
        let beats = Beats::default().to_words().map(AtomicU64::new);
        let shared = Shared {
            epoch: Instant::now(),
            changes: Mutex::default(),
            version: AtomicU64::new(0),
            beats,
            shown: AtomicU64::new(0),
        };
        Clock { shared: Arc::new(shared) }
    }

    /// The time now. Times of this clock may be compared and subtracted like any others, but not with those of
    /// `Instant::now()`, which run ahead of them.
    pub fn now(&self) -> Instant {
        self.shared.epoch + Duration::from_nanos(self.shared.now())
    }

    /// The clock stands still until `go`, because the process is about to be stopped.
    pub fn stop(&self) {
        self.shared.change(Beats::stop);
    }

    /// The clock goes on from where it was stopped.
    pub fn go(&self) {
        self.shared.change(Beats::go);
    }
}

/// The stack of the beating thread: some frames of arithmetic, and what the system takes of it.
const STACK: usize = 64 * 1024;

impl Shared {
    fn now(&self) -> u64 {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let beats = self.beats();
            // The real time is read after the beats. If it were read before them, a thread that was away in between
            // would be shown the time of the last beat, when others have seen a later one.
            let real = self.real();
            fence(Ordering::Acquire);
            if version % 2 == 1 || version != self.version.load(Ordering::Relaxed) {
                std::hint::spin_loop();
                continue;
            }
            if !beats.is_overdue(real) {
                return beats.now(real);
            }
            // Whoever changes the beats either sees this time in `shown`, or is seen here.
            let now = beats.now(real);
            let now = now.max(self.shown.fetch_max(now, Ordering::SeqCst));
            fence(Ordering::SeqCst);
            if version == self.version.load(Ordering::Relaxed) {
                return now;
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Beats, u64, u64)) {
        let _held = self.changes.lock().expect("no thread panics while it holds this lock");
        let mut beats = self.beats();
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        change(&mut beats, self.real(), self.shown.load(Ordering::SeqCst));
        for (word, value) in self.beats.iter().zip(beats.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
        self.version.store(version + 2, Ordering::Release);
    }

    fn beats(&self) -> Beats {
        Beats::from_words(self.beats.each_ref().map(|word| word.load(Ordering::Relaxed)))
    }

    fn real(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The arithmetic of the clock, in nanoseconds. `real` is the real time, and `shown` the latest time that
/// anybody has been shown while a beat was overdue.
#[derive(Debug, Clone, Copy, Default)]
struct Beats {
    /// The real time of the last beat.
    last: u64,
    /// How far the clock is behind the real time.
    lost: u64,
    /// What the clock shows while it is stopped.
    stopped: Option<u64>,
}

/// Stands for `None` in `Beats::stopped`, in words that can be stored in atomics: the clock goes.
const GOES: u64 = u64::MAX;

impl Beats {
    fn now(&self, real: u64) -> u64 {
        if let Some(stopped) = self.stopped {
            return stopped;
        }
        let gap = real.saturating_sub(self.last);
        let counted = if gap > nanos(BEAT + LATE) { nanos(BEAT) } else { gap };
        self.last + counted - self.lost
    }

    fn is_overdue(&self, real: u64) -> bool {
        self.stopped.is_none() && real.saturating_sub(self.last) > nanos(BEAT)
    }

    fn beat(&mut self, real: u64, shown: u64) {
        // A reader that asked before the gap was known to be one may have been shown more than one beat of it.
        let now = self.now(real).max(shown);
        if self.stopped.is_none() {
            self.lost = real - now;
        }
        self.last = real;
    }

    fn stop(&mut self, real: u64, shown: u64) {
        self.beat(real, shown);
        self.stopped = Some(self.now(real));
    }

    fn go(&mut self, real: u64, _: u64) {
        if let Some(stopped) = self.stopped.take() {
            self.lost = real - stopped;
            self.last = real;
        }
    }

    fn to_words(self) -> [u64; 3] {
        [self.last, self.lost, self.stopped.unwrap_or(GOES)]
    }

    fn from_words([last, lost, stopped]: [u64; 3]) -> Beats {
        Beats { last, lost, stopped: (stopped != GOES).then_some(stopped) }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("the clock's own periods are short")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    /// The arithmetic with what `Shared` does around it, handed the real time in milliseconds.
    #[derive(Default)]
    struct Tried {
        beats: Beats,
        shown: u64,
    }

    impl Tried {
        fn now(&mut self, real: u64) -> u64 {
            let mut now = self.beats.now(real * MS);
            if self.beats.is_overdue(real * MS) {
                self.shown = self.shown.max(now);
                now = self.shown;
            }
            now / MS
        }

        fn change(&mut self, real: u64, change: impl FnOnce(&mut Beats, u64, u64)) {
            change(&mut self.beats, real * MS, self.shown);
        }
    }

    #[test]
    fn a_clock_that_beats_in_time_is_the_real_one() {
        let mut clock = Tried::default();
        for beat in 1..=40 {
            assert_eq!(clock.now(beat * 300 - 1), beat * 300 - 1);
            clock.change(beat * 300, Beats::beat);
            assert_eq!(clock.now(beat * 300), beat * 300);
        }
        assert_eq!(clock.now(12_000 + 1250), 12_000 + 1250, "a beat that is a little late is no gap");
    }

    #[test]
    fn of_a_gap_one_beat_is_counted_whoever_asks_first() {
        for asks_before_the_beat in [true, false] {
            let mut clock = Tried::default();
            clock.change(1000, Beats::beat);
            if asks_before_the_beat {
                assert_eq!(clock.now(5000), 1250);
            }
            clock.change(5001, Beats::beat);
            assert_eq!(clock.now(5001), 1250);
            assert_eq!(clock.now(5100), 1349, "it goes on from there");
        }
    }

    #[test]
    fn what_was_shown_before_a_gap_was_known_is_not_taken_back() {
        let mut clock = Tried::default();
        assert_eq!(clock.now(1100), 1100);
        assert_eq!(clock.now(1300), 1100, "the beat is so late now that it is a gap");
        clock.change(1400, Beats::beat);
        assert_eq!(clock.now(1410), 1110);
    }

    #[test]
    fn a_stopped_clock_stands_still_and_goes_on_from_there() {
        let mut clock = Tried::default();
        clock.change(100, Beats::stop);
        assert_eq!(clock.now(150), 100);
        clock.change(250, Beats::beat);
        clock.change(9000, Beats::beat);
        clock.change(9100, Beats::stop);
        assert_eq!(clock.now(9200), 100);
        clock.change(10_000, Beats::go);
        assert_eq!(clock.now(10_007), 107);
        clock.change(10_010, Beats::go);
        assert_eq!(clock.now(10_010), 110);
    }

    proptest! {
        #[test]
        fn it_never_goes_backwards_nor_faster_than_the_real_time(steps in prop::collection::vec((0_u64..3000, 0..5), 1..60)) {
            let mut clock = Tried::default();
            let (mut real, mut last) = (0, 0);
            for (passes, what) in steps {
                real += passes;
                match what {
                    0 => clock.change(real, Beats::stop),
                    1 => clock.change(real, Beats::go),
                    2 | 3 => clock.change(real, Beats::beat),
                    _ => {}
                }
                let now = clock.now(real);
                prop_assert!(last <= now && now <= last + passes, "{last} {now} {passes}");
                last = now;
            }
        }
    }

    #[test]
    fn threads_that_share_it_see_one_time_that_only_grows() {
        let clock = Clock::without_beats();
        let seen = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..100_000 {
                        let before = seen.load(Ordering::SeqCst);
                        let now = clock.shared.now();
                        assert!(now >= before, "{now} after {before}");
                        seen.fetch_max(now, Ordering::SeqCst);
                    }
                });
            }
            for round in 0..10_000 {
                match round % 10 {
                    0 => clock.stop(),
                    1 => clock.go(),
                    _ => clock.shared.change(Beats::beat),
                }
            }
        });
    }

    #[test]
    fn its_thread_ends_with_it() {
        let clock = Clock::start().unwrap();
        let shared = Arc::downgrade(&clock.shared);
        drop(clock);
        assert!(shared.upgrade().is_none(), "nothing is kept alive");
    }
}
