//! A slot's worker as a real process: what a seat does to it, and what the poll loop reads from it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::io::Errno;

use super::luggage::{self, Luggage};
use super::memory_events::MemoryEvents;
use super::process::Process;
use super::seat::{WorkerControl, Wrote};
use super::settings::PoolSettings;
use super::template::Template;
use crate::words::host::Way;

pub struct Machine {
    slot: u32,
    settings: Arc<PoolSettings>,
    /// What workers are forked from (`--preload`).
    template: Option<Arc<Template>>,
    pub process: Option<Process>,
    /// How many processes the kernel had killed for want of memory when the worker was started.
    pub memory_events: MemoryEvents,
}

/// The default capacity of a pipe on Linux. Jobs and replies larger than this get larger pipes.
pub const PIPE: usize = 64 * 1024;

impl Machine {
    pub fn new(slot: u32, settings: Arc<PoolSettings>, template: Option<Arc<Template>>) -> Machine {
        Machine { slot, settings, template, process: None, memory_events: MemoryEvents::now() }
    }

    /// Our end of the worker's stdout, if there is a worker and its stdout has not ended.
    pub fn output(&self) -> Option<BorrowedFd<'_>> {
        self.process.as_ref()?.output.as_ref().map(AsFd::as_fd)
    }

    pub fn stderr(&self) -> Option<BorrowedFd<'_>> {
        self.process.as_ref()?.stderr.as_ref().map(AsFd::as_fd)
    }

    pub fn input(&self) -> Option<BorrowedFd<'_>> {
        self.process.as_ref()?.input.as_ref().map(AsFd::as_fd)
    }
}

impl WorkerControl for Machine {
    fn spawn(&mut self, way: Way) -> io::Result<Luggage> {
        assert!(self.process.is_none(), "the old worker has been buried");
        self.memory_events = MemoryEvents::now();
        let settings = &self.settings;
        let Some(hosts) = &settings.hosts else {
            self.process = Some(match &self.template {
                Some(template) => template.start_worker(self.slot)?,
                None => Process::spawn(&settings.command, self.slot, settings.workers)?,
            });
            return Ok(Luggage::default());
        };
        // The files are read anew for each start, so that a replacement by order brings an edited handler.
        let host = &hosts.list[self.slot as usize];
        let luggage = luggage::luggage(hosts, host, way)?;
        let command = host.command_of(way);
        self.process = Some(Process::spawn(command, self.slot, settings.workers)?);
        Ok(luggage)
    }

    fn write(&mut self, bytes: &[u8]) -> Wrote {
        loop {
            let Some(input) = self.input() else { return Wrote::Full };
            match rustix::io::write(input, bytes) {
                Ok(bytes) => return Wrote::Bytes(bytes),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Wrote::Full,
                // EPIPE: the worker has closed its end, perhaps by ending. Its exit is seen by the descriptor that
                // tells of it, not here.
                Err(_) => {
                    let unread = self.process.as_mut().and_then(Process::input_broke);
                    return Wrote::Broken(unread.unwrap_or(0));
                }
            }
        }
    }

    fn expect(&mut self, bytes: usize) {
        if bytes > PIPE
            && let Some(process) = &mut self.process
        {
            process.widen_input();
        }
    }

    fn close_input(&mut self) -> bool {
        let Some(process) = &mut self.process else { return false };
        process.close_input();
        process.output.is_none()
    }

    fn signal(&mut self, signal: i32) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    fn bury(&mut self) {
        if let Some(process) = self.process.take() {
            process.bury();
        }
    }

    fn memory(&mut self) -> Option<usize> {
        let limit = self.settings.recycle.memory?;
        self.process.as_ref()?.memory(limit)
    }

    fn waits_for_input(&mut self) -> bool {
        self.process.as_ref().is_some_and(Process::waits_for_input)
    }
}
