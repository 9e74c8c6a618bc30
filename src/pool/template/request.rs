//! A request to the template: fork a worker for this slot, with these descriptors.
//!
//! The request is the number of the slot (4 bytes, little-endian) with the worker's stdin, stdout and stderr beside it
//! (SCM_RIGHTS, unix(7)); the answer is the worker's process id, or the negative number of an error (4 bytes, as well).
//! The socket keeps messages apart (SOCK_SEQPACKET).

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown};
use rustix::process::Pid;

use crate::sys::spawn::Ends;

/// Has the template at the other end of `socket` fork a worker. The kind of the error is `NotConnected` where the
/// template is gone, and `TimedOut` where it takes longer than `patience`.
pub fn fork(socket: &OwnedFd, slot: u32, ends: &Ends, patience: Duration) -> io::Result<Pid> {
    let until = Instant::now().checked_add(patience);
    send(socket, slot, ends)?;
    let number = loop {
        if let Some(number) = receive(socket)? {
            break number;
        }
        wait(socket, until)?;
    };
    Pid::from_raw(number.max(0)).ok_or_else(|| io::Error::from_raw_os_error(-number))
}

/// Ends the connection for both ends, whoever holds copies of them.
pub fn hang_up(socket: &OwnedFd) {
    // It fails where the other end is gone, which is as good.
    let _ = rustix::net::shutdown(socket, Shutdown::Both);
}

fn send(socket: &OwnedFd, slot: u32, ends: &Ends) -> io::Result<()> {
    let descriptors = [ends.stdin.as_fd(), ends.stdout.as_fd(), ends.stderr.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    assert!(beside.push(SendAncillaryMessage::ScmRights(&descriptors)), "the space is for three descriptors");
    let bytes = slot.to_le_bytes();
    let message = [IoSlice::new(&bytes)];
    // The socket has room: each request is answered before the next one is made.
    rustix::io::retry_on_intr(|| rustix::net::sendmsg(socket, &message, &mut beside, SendFlags::NOSIGNAL))
        .map_err(gone)?;
    Ok(())
}

/// The answer, if it is there.
fn receive(socket: &OwnedFd) -> io::Result<Option<i32>> {
    let mut answer = [0; 4];
    match rustix::io::retry_on_intr(|| rustix::net::recv(socket, &mut answer, RecvFlags::DONTWAIT)) {
        Ok((_, 4)) => Ok(Some(i32::from_le_bytes(answer))),
        // The end of the connection.
        Ok(_) => Err(io::ErrorKind::NotConnected.into()),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(gone(error)),
    }
}

fn wait(socket: &OwnedFd, until: Option<Instant>) -> io::Result<()> {
    let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
    if timeout == Some(Duration::ZERO) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match rustix::event::poll(&mut [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)], timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A template that has ended closes its socket.
fn gone(error: Errno) -> io::Error {
    match error {
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => io::ErrorKind::NotConnected.into(),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use rustix::net::{AddressFamily, SocketFlags, SocketType};

    use super::*;

    /// What becomes of a request whose answer this is; `None` closes the connection.
    fn answered(answer: Option<&[u8]>) -> io::Result<Pid> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        match answer {
            Some(answer) => drop(rustix::io::write(&theirs, answer).unwrap()),
            None => hang_up(&theirs),
        }
        let forked = fork(&ours, 3, &Ends { stdin: null(), stdout: null(), stderr: null() }, Duration::ZERO);
        assert!(theirs.as_raw_fd() >= 0, "it has been open until here");
        forked
    }

    #[test]
    fn an_answer_is_a_process_or_an_error_or_does_not_come() {
        assert_eq!(answered(Some(&7_i32.to_le_bytes())).unwrap().as_raw_nonzero().get(), 7);
        let error = |answer| answered(answer).unwrap_err();
        let no_process = (-libc::EAGAIN).to_le_bytes();
        assert_eq!(error(Some(&no_process)).raw_os_error(), Some(libc::EAGAIN));
        assert_eq!(error(None).kind(), io::ErrorKind::NotConnected);
        assert_eq!(error(Some(b"x")).kind(), io::ErrorKind::NotConnected);
    }

    #[test]
    fn a_template_that_does_not_answer_is_not_waited_for_longer_than_that() {
        let flags = SocketFlags::CLOEXEC;
        let (ours, _theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let ends = Ends { stdin: null(), stdout: null(), stderr: null() };
        assert_eq!(fork(&ours, 0, &ends, Duration::from_millis(1)).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
