//! `--check` with hosts: calls each of them, has its workers load, and says in plain words what is wrong. No job is run.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::pool::host::Trouble;
use crate::pool::luggage::{Luggage, luggage};
use crate::pool::own_program::mismatch;
use crate::pool::settings::{Host, HostSettings};
use crate::protocol::stream::{FromAgent, HELLO, Hello, Note, Order, WANTED, from_agent, put};
use crate::stdout;
use crate::text::people::{counted, escape, short_time};
use crate::words::error::{Result, reason};
use crate::words::exit::Exit;
use crate::words::host::Way;

/// Calls all hosts, side by side. `limit` is how long each may take to be ready.
pub fn check(hosts: &HostSettings, limit: Duration) -> Result<Exit> {
    let said: Vec<(bool, String)> = std::thread::scope(|scope| {
        let calls: Vec<_> = hosts.list.iter().map(|host| scope.spawn(|| call(hosts, host, limit))).collect();
        let panicked = |_| (false, "a bug in forkpool: the thread of this host has panicked".to_owned());
        calls.into_iter().map(|call| call.join().unwrap_or_else(panicked)).collect()
    });
    let mut text = String::new();
    for (host, (_, words)) in hosts.list.iter().zip(&said) {
        text.push_str(&format!("{}: {words}\n", host.name));
    }
    let failed = said.iter().filter(|(is_fine, _)| !is_fine).count();
    let verdict = match failed {
        0 => "all hosts are ready".to_owned(),
        _ => format!("{failed} of {} failed", counted(said.len() as u64, "host")),
    };
    let printed = stdout::print(format!("{text}{verdict}\n").as_bytes())?;
    Ok(if failed == 0 { printed } else { printed.max(Exit::JobsFailed) })
}

/// Whether a host is fine, and what is to be said of it.
fn call(hosts: &HostSettings, host: &Host, limit: Duration) -> (bool, String) {
    let begun = Instant::now();
    let mut way = Way::Installed;
    let mut result = try_way(hosts, host, way, limit);
    if host.shell.is_some() && result.as_ref().is_err_and(|failed| failed.trouble() == Some(Trouble::NoProgram)) {
        way = Way::Brought;
        result = try_way(hosts, host, way, limit);
    }
    match result {
        Ok((workers, stderr)) => {
            let took = short_time(begun.elapsed());
            let brought = if way == Way::Brought { ", by this forkpool, since it has none" } else { "" };
            let mut words = format!("ready with {} after {took}{brought}", counted(workers as u64, "worker"));
            stderr.lines().for_each(|line| words.push_str(&format!("\n  {}", escape(line))));
            (true, words)
        }
        Err(failed) => {
            let mut words = format!("FAILED: {}", escape(&failed.why));
            let said = failed.stderr.lines().chain(failed.noise.lines());
            said.for_each(|line| words.push_str(&format!("\n  {}", escape(line))));
            if let Some(trouble) = failed.trouble() {
                words.push_str(&format!("\n  hint: {}", trouble.hint()));
            }
            (false, words)
        }
    }
}

/// Why a host cannot be used.
struct Failed {
    why: String,
    /// What the way there, or the far end, wrote to stderr.
    stderr: String,
    /// What was printed in place of a hello.
    noise: String,
}

impl Failed {
    fn trouble(&self) -> Option<Trouble> {
        Trouble::of(&self.stderr, &self.noise)
    }
}

/// Has the workers of a host load and end. Returns how many there are, and what was written to stderr.
fn try_way(
    hosts: &HostSettings,
    host: &Host,
    way: Way,
    limit: Duration,
) -> std::result::Result<(usize, String), Failed> {
    let words = host.command_of(way);
    let mut command = Command::new(&words.program);
    command.args(&words.args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        let why = format!("cannot run {}: {}", words.program.to_string_lossy(), reason(&error));
        Failed { why, stderr: String::new(), noise: String::new() }
    })?;
    let stderr = child.stderr.take().map(|mut stderr| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            // What came before an error says enough.
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    });
    let mut call = Call { lines: lines(&mut child), noise: String::new(), until: Instant::now() + limit };
    let result = luggage(hosts, host, way)
        .map_err(|error| reason(&error))
        .and_then(|luggage| call.until_ready(&mut child, luggage));
    let mut end = Vec::new();
    put(&Order::End, &mut end);
    // An agent that is gone needs no end.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(&end));
    if result.is_err() || call.until_bye().is_none() {
        // It may have ended by itself.
        let _ = child.kill();
    }
    let _ = child.wait();
    let stderr = stderr.and_then(|thread| thread.join().ok()).unwrap_or_default();
    match result {
        Ok(workers) => Ok((workers, stderr)),
        Err(why) => Err(Failed { why, stderr, noise: call.noise }),
    }
}

/// What the far end says, line by line, read by a thread.
fn lines(child: &mut Child) -> Receiver<Bytes> {
    let (said, lines) = channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n') {
                let Ok(line) = line else { return };
                if said.send(Bytes::from(line)).is_err() {
                    return;
                }
            }
        });
    }
    lines
}

struct Call {
    lines: Receiver<Bytes>,
    /// What came before the agent's first line.
    noise: String,
    until: Instant,
}

impl Call {
    fn line(&self) -> std::result::Result<Bytes, String> {
        self.lines.recv_timeout(self.until.saturating_duration_since(Instant::now())).map_err(|error| match error {
            RecvTimeoutError::Timeout => "it is not ready within --start-timeout".to_owned(),
            RecvTimeoutError::Disconnected => "the stream ended before the agent said hello, or was ready".to_owned(),
        })
    }

    /// Returns how many workers the host keeps, or why it is not ready.
    fn until_ready(&mut self, child: &mut Child, luggage: Luggage) -> std::result::Result<usize, String> {
        let mut send = |bytes: &[u8]| match child.stdin.as_mut().map(|stdin| stdin.write_all(bytes)) {
            Some(Err(error)) => Err(format!("nothing can be sent there: {}", reason(&error))),
            _ => Ok(()),
        };
        if let Some(program) = &luggage.program {
            send(&program.script)?;
        }
        let hello = loop {
            let line = self.line()?;
            if line.starts_with(HELLO) {
                break line;
            }
            match &luggage.program {
                Some(program) if line.starts_with(WANTED) => {
                    if let Some(words) = mismatch(&line)? {
                        return Err(words);
                    }
                    send(&program.content)?;
                }
                _ => {
                    self.noise.push_str(&String::from_utf8_lossy(&line));
                    self.noise.push('\n');
                }
            }
        };
        let hello: Hello = serde_json::from_slice(&hello).map_err(|error| format!("it said hello badly: {error}"))?;
        if let Some(words) = hello.mismatch() {
            return Err(words);
        }
        luggage.opening.iter().try_for_each(|piece| send(piece))?;
        loop {
            match from_agent(&self.line()?)? {
                FromAgent::Note(Note::Ready(workers)) => return Ok(workers),
                FromAgent::Note(Note::Failed(message, hint, _)) => {
                    return Err(hint.map_or(message.clone(), |hint| format!("{message}; hint: {hint}")));
                }
                _ => {}
            }
        }
    }

    /// Waits for the agent's last line.
    fn until_bye(&mut self) -> Option<()> {
        self.until = self.until.max(Instant::now() + LAST_WORDS);
        loop {
            if let Ok(FromAgent::Note(Note::Bye)) = from_agent(&self.line().ok()?) {
                return Some(());
            }
        }
    }
}

/// What an agent gets to end its workers, which have done nothing.
const LAST_WORDS: Duration = Duration::from_secs(10);
