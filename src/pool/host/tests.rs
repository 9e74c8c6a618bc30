use std::time::Duration;

use super::*;
use crate::pool::outbox::{Action, Report};
use crate::protocol::stream::{Hello, Note, put};
use crate::testing::pool_settings;

struct Scene {
    session: HostSession,
    now: Instant,
    /// All that was written to the agent.
    written: String,
}

impl Scene {
    /// A host whose stream has just been started.
    fn new() -> Scene {
        let now = Instant::now();
        let settings = PoolSettings { supplied: true, ..pool_settings("w") };
        let mut session = HostSession::new("node1", Arc::new(settings), now, 7);
        session.spawned(b"settings\n".to_vec(), now);
        Scene { session, now, written: String::new() }
    }

    /// A host that has answered, and whose workers load.
    fn loading() -> Scene {
        let mut scene = Scene::new();
        scene.hear(&Hello { forkpool_agent: env!("CARGO_PKG_VERSION").to_owned() });
        scene.write();
        scene
    }

    fn hear(&mut self, line: &impl serde::Serialize) {
        let mut bytes = Vec::new();
        put(line, &mut bytes);
        self.session.output_buffer().expect("there is a stream").extend_from_slice(&bytes);
        self.session.received(self.now);
    }

    fn write(&mut self) {
        while !self.session.pending_input().is_empty() {
            let bytes = self.session.pending_input().to_vec();
            self.session.written(bytes.len());
            self.written.push_str(&String::from_utf8(bytes).unwrap());
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.tick(self.now);
    }

    fn is_killed(&mut self) -> bool {
        self.session.out.actions.drain(..).any(|action| action == Action::Signal(libc::SIGKILL))
    }
}

#[test]
fn a_host_that_loads_for_long_is_asked_for_a_sign_of_life_and_not_given_up() {
    let mut scene = Scene::loading();
    for _ in 0..30 {
        scene.pass(SIGN_OF_LIFE);
        scene.write();
        scene.hear(&Note::Pong(0));
    }
    assert!(!scene.is_killed(), "minutes of loading are nobody's silence");
    assert_eq!(scene.written.matches("{\"ping\":0}\n").count(), 30);
    scene.pass(SILENCE);
    assert!(scene.is_killed(), "without an answer it is lost");
}

#[test]
fn a_file_that_takes_long_to_send_is_no_silence() {
    let mut scene = Scene::new();
    scene.session.spawned(vec![b'x'; 100], scene.now);
    scene.hear(&Hello { forkpool_agent: env!("CARGO_PKG_VERSION").to_owned() });
    for _ in 0..10 {
        scene.session.written(1);
        scene.pass(SILENCE / 2);
    }
    assert!(!scene.is_killed());
    scene.pass(SILENCE);
    assert!(scene.is_killed(), "nothing has been taken since");
}

#[test]
fn nothing_is_said_before_the_agent_has_said_hello() {
    let mut scene = Scene::new();
    scene.session.hold(true);
    scene.write();
    assert_eq!(scene.written, "");
    scene.hear(&Hello { forkpool_agent: env!("CARGO_PKG_VERSION").to_owned() });
    scene.write();
    assert_eq!(scene.written, "settings\n{\"hold\":true}\n");
}

#[test]
fn a_host_that_says_hello_once_more_is_lost() {
    let mut scene = Scene::loading();
    scene.hear(&Note::Ready(2));
    assert!(scene.session.out.reports.iter().any(|report| matches!(report, Report::Proven)));
    scene.hear(&Hello { forkpool_agent: env!("CARGO_PKG_VERSION").to_owned() });
    assert!(scene.is_killed());
}
