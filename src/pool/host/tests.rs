use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::pool::exited::How;
use crate::pool::outbox::{Action, Report};
use crate::pool::own_program::{OwnProgram, platform};
use crate::pool::settings::Host;
use crate::protocol::stream::{Hello, Note, Wanted, put};
use crate::testing::pool_settings;

fn luggage(opening: &[u8]) -> Luggage {
    Luggage { opening: vec![Bytes::copy_from_slice(opening)], program: None }
}

/// Its agent is forkpool, wherever that comes from.
fn node1() -> Host {
    let command = pool_settings("w").command;
    Host { name: "node1".to_owned(), workers: None, command: command.clone(), shell: Some(command) }
}

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
        let mut session = HostSession::new(&node1(), Arc::new(settings), now, 7);
        session.spawned(luggage(b"settings\n"), now);
        Scene { session, now, written: String::new() }
    }

    /// A host that has answered, and whose workers load.
    fn loading() -> Scene {
        let mut scene = Scene::new();
        scene.hear(&Hello::own());
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

    /// What led to the host ends with this status, and these words on stderr.
    fn end(&mut self, status: i32, words: &str) {
        self.session.stderr(words.as_bytes());
        self.session.output_ended(self.now);
        self.session.exited(Exited { how: How::Code(status), unread: None, out_of_memory: false }, self.now);
    }

    /// A host that had no forkpool, and whose shell has been started.
    fn with_a_shell() -> Scene {
        let mut scene = Scene::new();
        scene.end(127, "sh: 1: forkpool: not found\n");
        let program = OwnProgram { content: "program".into(), script: "script\n".into() };
        scene.session.spawned(Luggage { program: Some(program), ..luggage(b"settings\n") }, scene.now);
        scene
    }

    fn wants(&mut self, platform: &str) {
        self.hear(&Wanted { forkpool_wanted_for: platform.to_owned() });
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
    scene.session.spawned(luggage(&[b'x'; 100]), scene.now);
    scene.hear(&Hello::own());
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
    scene.hear(&Hello::own());
    scene.write();
    assert_eq!(scene.written, "settings\n{\"hold\":true}\n");
}

#[test]
fn a_host_that_says_hello_once_more_is_lost() {
    let mut scene = Scene::loading();
    scene.hear(&Note::Ready(2));
    assert!(scene.session.out.reports.iter().any(|report| matches!(report, Report::Proven)));
    scene.hear(&Hello::own());
    assert!(scene.is_killed());
}

#[test]
fn a_host_without_forkpool_is_called_once_more_to_have_it_brought_there() {
    let mut scene = Scene::new();
    assert_eq!(scene.session.way(), Way::Installed);
    scene.end(127, "sh: 1: forkpool: not found\n");
    assert_eq!(scene.session.way(), Way::Brought);
    assert!(scene.session.out.reports.is_empty(), "nothing has failed");
    let mut scene = Scene::with_a_shell();
    scene.end(127, "sh: 1: forkpool: not found\n");
    assert!(scene.session.out.reports.iter().any(|report| matches!(report, Report::FailedStart(..))), "that was all");
    let mut scene = Scene::new();
    scene.end(255, "node1: Permission denied (publickey).\n");
    assert_eq!(scene.session.way(), Way::Installed, "that is not what is missing");
}

#[test]
fn what_is_said_before_a_hello_is_shown_unless_forkpool_is_brought_for_it() {
    let said = |scene: &Scene| {
        let said = scene.session.out.reports.iter().filter_map(|report| match report {
            Report::Said(text) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        });
        said.collect::<String>()
    };
    let mut scene = Scene::new();
    assert!(!scene.session.stderr(b"sh: 1: exec: ") && !scene.session.stderr(b"forkpool: not found\n"));
    scene.end(127, "");
    assert_eq!((scene.session.way(), said(&scene).as_str()), (Way::Brought, ""));
    let mut scene = Scene::new();
    scene.end(255, "node1: Permission denied (publickey).\n");
    assert_eq!(said(&scene), "node1: Permission denied (publickey).\n");
    let mut scene = Scene::new();
    assert!(!scene.session.stderr(b"Welcome\n"));
    scene.hear(&Hello::own());
    assert_eq!(said(&scene), "Welcome\n");
    assert!(scene.session.stderr(b"w0: not found\n") && Scene::with_a_shell().session.stderr(b"sh: no uname\n"));
}

#[test]
fn a_shell_gets_the_program_when_it_asks_and_the_rest_when_it_has_become_the_agent() {
    let mut scene = Scene::with_a_shell();
    scene.write();
    assert_eq!(scene.written, "script\n");
    scene.wants(&platform());
    scene.write();
    assert_eq!(scene.written, "script\nprogram");
    scene.hear(&Hello::own());
    scene.write();
    assert_eq!(scene.written, "script\nprogramsettings\n");
    let mut scene = Scene::with_a_shell();
    scene.hear(&Hello::own());
    scene.write();
    assert_eq!(scene.written, "script\nsettings\n", "it has the program from another run");
}

#[test]
fn a_program_that_takes_long_to_send_is_no_late_answer() {
    let mut scene = Scene::with_a_shell();
    scene.write();
    scene.wants(&platform());
    for _ in 0..6 {
        scene.session.written(1);
        scene.pass(scene.session.settings.start_timeout.mul_f64(0.9));
    }
    assert!(!scene.is_killed());
    scene.pass(scene.session.settings.start_timeout);
    assert!(scene.is_killed(), "nothing has been taken since");
}

#[test]
fn a_host_of_another_kind_gets_no_program_and_both_are_named() {
    let mut scene = Scene::with_a_shell();
    scene.wants("Plan9 mips");
    assert!(scene.is_killed());
    scene.end(1, "");
    let told = scene.session.out.reports.iter().find_map(|report| match report {
        Report::FailedStart(_, words, _) => Some(words.clone()),
        _ => None,
    });
    let own = platform();
    let expected = format!("host node1: it has no forkpool, and is Plan9 mips, while this forkpool is for {own}");
    assert_eq!(told, Some(expected));
}

#[test]
fn nobody_gets_a_program_that_was_not_offered() {
    let mut scene = Scene::new();
    scene.wants(&platform());
    assert!(scene.is_killed());
}
