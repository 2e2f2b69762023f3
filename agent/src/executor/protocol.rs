//! What agent and spawner say to each other over a `SOCK_SEQPACKET` socket pair: one message per packet, as JSON.
//!
//! Both ends are the same binary, so there is no version to negotiate. Knows nothing of processes or sandboxes.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::MemfdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Names one tree for the life of a spawner.
pub(crate) type TreeId = u64;

/// Agent to spawner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// First: what every confined process may see of the host, and how much it may take.
    Configure { visible: Vec<Visible>, limits: Limits },
    /// With the descriptors of stdout, stderr and, if `stdin`, stdin; then the doorway's, if there is one.
    Start(Box<Start>),
    /// Boot-clock milliseconds until which leased trees may live.
    Renew { live_until: u64 },
    /// SIGTERM now, SIGKILL after the grace; a second one can only shorten it.
    End { id: TreeId, grace: u64 },
}

/// What one confined tree may take of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Processes and threads of a tree.
    pub(crate) processes: u64,
    /// Bytes of memory one process may write to.
    pub(crate) memory: u64,
    /// Bytes of one file.
    pub(crate) file: u64,
}

/// A host path and what may be done beneath it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Visible {
    pub(crate) path: String,
    pub(crate) access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Access {
    /// Read and execute.
    Read,
    /// Read and write what exists: devices.
    Use,
    /// Everything but devices.
    Write,
}

/// A tree to start. Durations are milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) id: TreeId,
    /// Also in the environment of every process of the tree, as `NEXUSMON_ATTEMPT`.
    pub(crate) key: String,
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: String,
    pub(crate) confinement: Confinement,
    pub(crate) stdin: bool,
    /// The last descriptor is the socket that a [`super::doorway`] hands its listener out by.
    #[serde(default)]
    pub(crate) doorway: bool,
    /// Where the process finds its secrets, whose descriptors come behind the others: paths of links to be made on the
    /// host, or of files in a confinement with places of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets: Vec<String>,
    /// From the start of the process.
    pub(crate) timeout: Option<u64>,
    /// Between SIGTERM and SIGKILL when the spawner itself ends the tree.
    pub(crate) grace: u64,
    pub(crate) lease: Lease,
}

/// What keeps a tree alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lease {
    /// The agent itself: it ends when the agent's end of the socket is closed.
    Agent,
    /// A lease; `offline` more after it has run out. With `offline` it also outlives the agent that long.
    Until { offline: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Confinement {
    Free,
    /// Landlock and seccomp, around the process from its first instruction.
    Landlock {
        /// Whether it may make sockets.
        sockets: bool,
        visible: Vec<Visible>,
    },
    /// `program` is bubblewrap; `arguments` go to it through a descriptor, with the seccomp filter in another.
    Bubblewrap {
        arguments: Vec<String>,
    },
}

/// Spawner to agent; a packet holds a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// First, and once.
    Ready,
    Started {
        id: TreeId,
    },
    /// Nothing runs under this id.
    Failed {
        id: TreeId,
        detail: String,
    },
    /// The whole tree is gone.
    Ended {
        id: TreeId,
        status: Status,
        reason: Reason,
    },
}

/// How the first process of a tree ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    Exited(i32),
    Signalled(i32),
}

/// Why a tree ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reason {
    /// Its first process ended by itself.
    Itself,
    Asked,
    Timeout,
    /// No renewal came in time.
    Lease,
    /// More processes than a tree may have.
    Processes,
}

/// Larger messages travel in a memory file beside the packet.
const INLINE: usize = 60 * 1024;
/// What a packet may hold, with its marker.
pub(crate) const PACKET: usize = 64 * 1024;
const MAX_DESCRIPTORS: usize = 4 + nexusmon_shared::plan::MAX_SECRETS;
/// A start holds parameters of at most 512 KiB; anything near this is nonsense.
const MAX_MESSAGE: u64 = 8 * 1024 * 1024;

/// A message ready to be sent, any number of times.
#[derive(Debug)]
pub(crate) struct Packet {
    bytes: Vec<u8>,
    large: Option<OwnedFd>,
}

impl Packet {
    pub(crate) fn of(message: &impl Serialize) -> io::Result<Self> {
        let mut bytes = vec![0_u8];
        serde_json::to_writer(&mut bytes, message)?;
        if bytes.len() <= INLINE {
            return Ok(Self { bytes, large: None });
        }
        let file = rustix::fs::memfd_create("nexusmon-message", MemfdFlags::CLOEXEC)?;
        let mut rest = &bytes[1..];
        while !rest.is_empty() {
            let written = rustix::io::write(&file, rest)?;
            rest = &rest[written..];
        }
        Ok(Self { bytes: vec![1], large: Some(file) })
    }

    /// Sends without waiting; `WouldBlock` when the other end is slow.
    pub(crate) fn send(&self, socket: impl AsFd, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut all: Vec<BorrowedFd<'_>> = descriptors.to_vec();
        all.extend(self.large.as_ref().map(AsFd::as_fd));
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !all.is_empty() {
            assert!(
                control.push(SendAncillaryMessage::ScmRights(&all)),
                "streams, a large message and secrets are sent, no more"
            );
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendmsg(socket, &[IoSlice::new(&self.bytes)], &mut control, flags)?;
        Ok(())
    }
}

/// Receives one message and its descriptors without waiting. `None` is the end of the connection.
pub(crate) fn receive<M: DeserializeOwned>(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let length = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?.bytes;
    if length == 0 {
        return Ok(None);
    }
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    let message = if buffer[0] == 0 {
        serde_json::from_slice(&buffer[1..length])?
    } else {
        let file = descriptors.pop().ok_or(io::ErrorKind::InvalidData)?;
        serde_json::from_slice(&read_all(&file)?)?
    };
    Ok(Some((message, descriptors)))
}

fn read_all(file: &OwnedFd) -> io::Result<Vec<u8>> {
    let size = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
    if size > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0_u8; usize::try_from(size).expect("checked against a small bound")];
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pread(file, &mut bytes[done..], done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn messages_of_any_size_arrive_with_their_descriptors() {
        let (near, far) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let mut buffer = vec![0; PACKET];
        for length in [0_usize, 10, INLINE - 40, INLINE + 1, 700_000] {
            let request = Request::Configure {
                visible: vec![Visible { path: "x".repeat(length), access: Access::Read }],
                limits: Limits { processes: 1, memory: 2, file: 3 },
            };
            let descriptors = [near.as_fd(), far.as_fd()];
            Packet::of(&request).unwrap().send(&near, &descriptors).unwrap();
            let (received, with) = receive::<Request>(&far, &mut buffer).unwrap().unwrap();
            assert_eq!(received, request);
            assert_eq!(with.len(), 2);
        }
        drop(near);
        assert!(receive::<Request>(&far, &mut buffer).unwrap().is_none());
    }
}
