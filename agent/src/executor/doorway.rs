//! The way out of a sandbox whose network is empty: a listener made inside, served from outside.
//!
//! A socket stays in the network namespace it was made in. So the first program of the sandbox makes one on the loopback
//! there, hands it out and becomes the task. What the task connects to it, the agent accepts: no forwarder lives inside
//! that could be killed or asked for something else, and no path is shared.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

use super::protocol::{self, Packet};
use crate::egress::{self, Gate};

/// The hidden arguments that make the agent's binary the first program of such a sandbox, and the trial of one.
pub(crate) const COMMAND: &str = "__doorway";
const TRY: &str = "__doorway-try";
/// Where bubblewrap shows the agent's binary.
pub(super) const PROGRAM: &str = "/nexusmon/doorway";
/// In a namespace of its own every port is free.
const PORT: u16 = 3128;

/// Both ends of the socket a listener is handed over by.
pub(super) struct Doorway {
    near: UnixDatagram,
    pub(super) far: OwnedFd,
}

impl Doorway {
    pub(super) fn open() -> io::Result<Self> {
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&near, true)?;
        // The kernel knows it as a sequenced packet socket; for waiting, one with datagrams is the same.
        Ok(Self { near: UnixDatagram::from_std(near.into())?, far })
    }

    /// Splits off the end that goes into the sandbox.
    pub(super) fn split(self) -> (UnixDatagram, OwnedFd) {
        (self.near, self.far)
    }
}

/// Waits for the listener and serves it; ends only when it is dropped.
pub(super) async fn serve(near: UnixDatagram, gate: Arc<Gate>) {
    match receive(&near).await {
        Ok(listener) => egress::serve(listener, gate).await,
        // Whatever kept the first program from making it, also kept it from becoming the task.
        Err(error) => tracing::debug!(%error, "a sandbox handed out no listener"),
    }
    std::future::pending::<()>().await;
}

async fn receive(near: &UnixDatagram) -> io::Result<tokio::net::TcpListener> {
    let mut buffer = vec![0; 64];
    let received = near
        .async_io(Interest::READABLE, || protocol::receive::<bool>(near, &mut buffer))
        .await?
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let listener = received.1.into_iter().next().ok_or(io::ErrorKind::InvalidData)?;
    if !rustix::net::sockopt::socket_acceptconn(&listener)? {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let listener = TcpListener::from(listener);
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

/// How programs find the proxy.
pub(super) fn variables() -> BTreeMap<String, String> {
    let proxy = format!("http://127.0.0.1:{PORT}");
    let own = "localhost,127.0.0.1,::1";
    [("HTTP_PROXY", proxy.as_str()), ("HTTPS_PROXY", &proxy), ("ALL_PROXY", &proxy), ("NO_PROXY", own)]
        .into_iter()
        .flat_map(|(name, value)| [(name.to_owned(), value), (name.to_ascii_lowercase(), value)])
        .map(|(name, value)| (name, value.to_owned()))
        .collect()
}

/// Runs inside: as told by the arguments after the program's own name, if they are ours.
pub(super) fn main(arguments: &[String]) -> Option<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [COMMAND, descriptor, program, rest @ ..] => become_task(descriptor, program, rest),
        [TRY] => try_out(),
        _ => return None,
    };
    Some(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the way out could not be made: {error}");
            ExitCode::FAILURE
        }
    })
}

fn become_task(descriptor: &str, program: &str, arguments: &[&str]) -> io::Result<()> {
    let number = descriptor.parse().map_err(io::Error::other)?;
    let socket = super::descriptor::inherited(number)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))?;
    Packet::of(&true)?.send(&socket, &[listener.as_fd()])?;
    drop((socket, listener));
    Err(Command::new(program).args(arguments).exec())
}

/// Asks the proxy for what nobody may reach; it must be there, and refuse.
fn try_out() -> io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT))?;
    stream.write_all(b"CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(1024).read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 403 ") {
        Ok(())
    } else {
        Err(io::Error::other("the proxy does not refuse"))
    }
}

/// The words of a trial, to be run in the sandbox.
pub(super) fn trial() -> String {
    format!("{PROGRAM} {TRY}")
}
