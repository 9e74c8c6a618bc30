//! What signals do to this process, and to the workers it starts.
//!
//! A process inherits two things about signals, and passes them on to the programs it starts: which are blocked,
//! and which are ignored. Blocked ones are an accident of whoever started us, and are not passed on. Ignored ones
//! are a wish (`nohup`, `&` in a script): they stay ignored, here and in the workers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Which signals were ignored when this process was started, as bits: signal 1 is bit 0.
static IGNORED: AtomicU64 = AtomicU64::new(0);

/// The last signal: Linux has 64 (but for MIPS), other systems have fewer, and the bits of a `u64` hold them.
const LAST: i32 = 64;

/// Notes which signals are ignored. Called before `main`, because Rust's runtime ignores SIGPIPE.
pub fn note_ignored() {
    for signal in 1..=LAST {
        if disposition(signal).is_some_and(|action| action.sa_sigaction == libc::SIG_IGN) {
            IGNORED.fetch_or(1 << (signal - 1), Ordering::Relaxed);
        }
    }
}

/// Whether a signal was ignored when this process was started (`nohup`, `&` in a script); it is to stay so.
pub fn was_ignored(signal: i32) -> bool {
    (1..=LAST).contains(&signal) && IGNORED.load(Ordering::Relaxed) & (1 << (signal - 1)) != 0
}

/// Lets these signals through, whatever whoever started this process has blocked. Threads take over what is
/// blocked from the one that starts them, so this is for a process that has only one thread so far.
pub fn unblock(signals: &[i32]) {
    change_mask(libc::SIG_UNBLOCK, &set_of(signals));
}

/// Makes a signal do nothing: SIGXFSZ, so that a file size limit is an error of the write and no death.
pub fn ignore(signal: i32) {
    dispose(signal, libc::SIG_IGN);
}

/// Gives a signal back its default action: SIGCHLD, without which the children of a process vanish unseen.
pub fn restore(signal: i32) {
    dispose(signal, libc::SIG_DFL);
}

/// Does to this process what the system does at this signal by default, and returns if it goes on after that:
/// it was stopped and continued, or nothing happened, because this is process 1, which no signal ends, or
/// because nobody could continue it (its process group is an orphaned one, which no terminal's Ctrl-Z stops).
pub fn act_by_default(signal: i32) {
    let Some(before) = disposition(signal) else { return };
    dispose(signal, libc::SIG_DFL);
    let blocked = change_mask(libc::SIG_UNBLOCK, &set_of(&[signal]));
    // SAFETY: raise touches no memory of ours. What the signal does is the default action, no code of ours; it
    // is done before raise returns, because the signal goes to this thread, which does not block it.
    unsafe {
        libc::raise(signal);
    }
    change_mask(libc::SIG_SETMASK, &blocked);
    // SAFETY: the struct was filled in by sigaction itself, and whoever installed the handler in it keeps the
    // handler valid for ever.
    unsafe {
        libc::sigaction(signal, &raw const before, std::ptr::null_mut());
    }
}

/// Does something with all signals blocked in the calling thread: a process that it forks cannot run our handlers,
/// which write into pipes that the two processes share, so that one Ctrl-C would count as two.
pub fn while_blocked<T>(body: impl FnOnce() -> T) -> T {
    let mut all = set_of(&[]);
    // SAFETY: sigfillset writes into this struct alone.
    unsafe {
        libc::sigfillset(&raw mut all);
    }
    let before = change_mask(libc::SIG_SETMASK, &all);
    let result = body();
    change_mask(libc::SIG_SETMASK, &before);
    result
}

/// Leaves no trace of what this process does with signals: none is blocked, and those are ignored that were
/// ignored when it was started. For a new worker between fork and exec: it makes only calls that are safe there.
pub fn reset_for_worker() {
    // SIGABRT is as forkpool found it. Some C libraries take a lock to tell, which a process that shares our memory and
    // is killed meanwhile would hold for ever.
    for signal in (1..=LAST).filter(|&signal| signal != libc::SIGABRT) {
        let Some(action) = disposition(signal) else { continue };
        // A program that is started with SIGCHLD ignored cannot wait for its children. forkpool heeds SIGCHLD, so
        // that it was ignored before is not passed on.
        let wanted = if was_ignored(signal) && signal != libc::SIGCHLD { libc::SIG_IGN } else { libc::SIG_DFL };
        if action.sa_sigaction != wanted {
            // While a signal is ignored, one of its kind that waits is dropped: it was meant for forkpool, whose group
            // the worker was in.
            dispose(signal, libc::SIG_IGN);
            dispose(signal, wanted);
        }
    }
    change_mask(libc::SIG_SETMASK, &set_of(&[]));
}

/// What a signal does now; `None` if there is no such signal.
fn disposition(signal: i32) -> Option<libc::sigaction> {
    // SAFETY: sigaction with a null new action only reads; the struct is plain data for which zeroes are valid,
    // and it lives until the call returns.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        (libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0).then_some(action)
    }
}

/// `what` is SIG_IGN or SIG_DFL. That SIGKILL and SIGSTOP cannot be changed is no error.
fn dispose(signal: i32, what: libc::sighandler_t) {
    // SAFETY: neither SIG_IGN nor SIG_DFL installs code that could run.
    unsafe {
        libc::signal(signal, what);
    }
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: sigemptyset makes a valid set of whatever is there, and both calls write into this struct alone.
    // They fail for numbers that are no signals, and then change nothing.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

/// Changes which signals the calling thread blocks, and returns those that it blocked before.
fn change_mask(how: i32, set: &libc::sigset_t) -> libc::sigset_t {
    let mut before = set_of(&[]);
    // SAFETY: both sets are valid and live until the call returns.
    unsafe {
        libc::pthread_sigmask(how, set, &raw mut before);
    }
    before
}
