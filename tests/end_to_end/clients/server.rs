//! `samples/express`: a server whose requests are jobs of a pool, asked with real requests, and ended between them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::console::{copy_of_the_samples, skip, why_npm_cannot_install};
use crate::support::{HANG, kill, shell, side_by_side, wait_for};

/// What the server answers, head and body; an error if it does not take the request, or breaks off.
fn ask(port: u16, path: &str, name: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(HANG))?;
    let body = format!("{{\"name\":\"{name}\"}}");
    let head = "Host: localhost\r\nConnection: close\r\nContent-Type: application/json";
    write!(stream, "POST {path} HTTP/1.1\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer)? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer),
    }
}

/// The port, once the server listens.
fn port(folder: &Path) -> u16 {
    let port = || fs::read_to_string(folder.join("port")).ok()?.trim().parse().ok();
    wait_for(HANG, port).expect("the server listens")
}

#[test]
fn every_request_that_a_server_accepts_has_an_answer_or_an_error_although_it_is_ended_in_the_middle() {
    if let Some(reason) = why_npm_cannot_install() {
        return skip(&reason);
    }
    let folder = copy_of_the_samples();
    let install =
        "for sample in fork express; do npm install --prefix samples/$sample --no-package-lock --silent; done";
    shell(install, folder.path()).end().check_status(0);
    let running = shell("exec node samples/express/server.mjs port", folder.path()).start();
    let port = port(folder.path());
    // Each client asks until it is refused; every seventh kitten bites.
    let (waited, accepted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    side_by_side(0..8, |client| {
        for number in 0.. {
            let name = format!("kitten-{client}-{number}{}", if number % 7 == 0 { "x" } else { "" });
            let path = ["/kittens/pet", "/kittens"][number % 2];
            let Ok(answer) = ask(port, path, &name) else { break };
            let (status, words) = match (number % 2, number % 7) {
                (0, 0) => ("422", format!("{name} bites")),
                (0, _) => ("200", format!("{name} purrs")),
                _ => ("202", name),
            };
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(&words), "{answer}");
            let counter = if status == "202" { &accepted } else { &waited };
            counter.fetch_add(1, Ordering::Relaxed);
            if client == 0 && number == 20 {
                kill(running.id(), libc::SIGTERM);
            }
        }
    });
    let ended = running.end().check_status(0);
    assert!(waited.into_inner() > 10, "{}", ended.stderr);
    // A kitten that was accepted has been petted, or has bitten.
    let told = ended.text().lines().filter(|line| line.ends_with(" purrs") || line.ends_with(" bites")).count();
    assert_eq!(told, accepted.into_inner(), "{}{}", ended.text(), ended.stderr);
}
