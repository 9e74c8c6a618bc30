//! Slots whose workers end before they have shown anything, on one dispatcher, with a virtual clock.

use crossbeam_channel::Receiver;

use super::super::session::Session;
use super::*;
use crate::pool::dispatch::Limits;
use crate::pool::exited::{Exited, How};
use crate::testing::pool_settings;

/// A process that can be started, or not.
struct Stillborn {
    /// Why it cannot be started, if it cannot.
    refused: Option<i32>,
    starts: u32,
}

impl WorkerControl for Stillborn {
    fn spawn(&mut self, _: Way) -> io::Result<Luggage> {
        self.starts += 1;
        self.refused.map_or(Ok(Luggage::default()), |code| Err(io::Error::from_raw_os_error(code)))
    }

    fn write(&mut self, _: &[u8]) -> Wrote {
        Wrote::Full
    }

    fn expect(&mut self, _: usize) {}

    fn close_input(&mut self) -> bool {
        false
    }

    fn signal(&mut self, _: i32) {}

    fn bury(&mut self) {}

    fn memory(&mut self) -> Option<usize> {
        None
    }

    fn waits_for_input(&mut self) -> bool {
        false
    }
}

struct Told(crossbeam_channel::Sender<News>);

impl Ear for Told {
    fn outcomes(&mut self, _: Vec<Outcome>) {}

    fn news(&mut self, news: News) {
        self.0.send(news).unwrap();
    }
}

struct Scene {
    seats: Vec<Seat<Stillborn, Told>>,
    news: Receiver<News>,
    now: Instant,
}

impl Scene {
    /// Two slots, whose input may still bring jobs.
    fn new(refused: Option<i32>) -> Scene {
        let settings = Arc::new(PoolSettings { workers: 2, ..pool_settings("w") });
        let limits = Limits { window: 100, memory: 1000, queued: 2, slots: 2, leaves_out: false };
        let dispatch = Arc::new(Dispatch::new(limits, None, false, crossbeam_channel::never(), |_| {}));
        let (told, news) = crossbeam_channel::unbounded();
        let now = Instant::now();
        let seat = |number| {
            let (settings, dispatch) = (Arc::clone(&settings), Arc::clone(&dispatch));
            let machine = Stillborn { refused, starts: 0 };
            let session = Box::new(Session::new(number, Arc::clone(&settings), now, 0));
            Seat::new(number, settings, dispatch, session, machine, Told(told.clone()), now)
        };
        Scene { seats: [0, 1].map(seat).into(), news, now }
    }

    /// A slot starts a worker, which ends at once; returns the pause before its next start.
    fn fails(&mut self, slot: usize) -> Duration {
        let (seat, now) = (&mut self.seats[slot], self.now);
        let before = seat.machine.starts;
        seat.round(now);
        assert_eq!(seat.machine.starts, before + 1, "one start");
        seat.session.exited(Exited { how: How::Code(1), unread: Some(0), out_of_memory: false }, now);
        seat.session.output_ended(now);
        let next = seat.round(now).expect("it starts another worker some time");
        self.now = next;
        next - now
    }

    fn gave_up(&self) -> Option<Error> {
        self.news.try_iter().find_map(|news| if let News::GaveUp(error) = news { Some(error) } else { None })
    }
}

#[test]
fn failed_starts_are_counted_over_the_pool_and_a_slot_starts_no_worker_in_its_pause() {
    let mut scene = Scene::new(None);
    let pauses: Vec<u128> = [0, 1, 0, 1, 0, 1]
        .into_iter()
        .map(|slot| {
            // Whatever pause the other slot has had, this one's is over.
            scene.now += Duration::from_secs(2);
            scene.fails(slot).as_millis()
        })
        .collect();
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000]);
    assert!(scene.gave_up().is_none());
    scene.now += Duration::from_secs(2);
    scene.fails(0);
    let words = "workers keep failing to start (7 in a row): worker w0 exited with status 1";
    assert_eq!(scene.gave_up().unwrap().message, words);
}

#[test]
fn a_program_that_cannot_be_started_ends_the_run_at_once() {
    let mut scene = Scene::new(Some(libc::ENOEXEC));
    scene.seats[0].round(scene.now);
    let error = scene.gave_up().unwrap();
    assert_eq!(error.message, "cannot start worker w0: /bin/sh: Exec format error");
    assert!(error.hint.is_some());
    assert_eq!(scene.seats[0].machine.starts, 1);
}

#[test]
fn want_of_processes_is_told_once_a_slot_and_has_a_hint_at_the_end() {
    let mut scene = Scene::new(Some(libc::EAGAIN));
    let mut starved = 0;
    let error = loop {
        let next = scene.seats[0].round(scene.now).expect("it tries again");
        let news: Vec<News> = scene.news.try_iter().collect();
        starved += news.iter().filter(|news| matches!(news, News::Starved(_))).count();
        let gave_up = news.into_iter().find_map(|news| if let News::GaveUp(error) = news { Some(error) } else { None });
        if let Some(error) = gave_up {
            break error;
        }
        scene.now = next;
    };
    assert_eq!((starved, scene.seats[0].machine.starts), (1, 7));
    assert!(error.hint.unwrap().contains("ulimit"));
}
