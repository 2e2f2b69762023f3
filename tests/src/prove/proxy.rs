//! A TCP proxy that treats connections badly, each direction on its own: stalls, delays, trickles, resets, half-closes.
//!
//! It forwards bytes it cannot read (TLS goes through it), so it can neither reorder nor lose any without the ends noticing;
//! what it can do is everything a bad network does to a TCP connection.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::world::pass;

/// What happens to bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Free,
    /// Nothing arrives; nothing is lost either.
    Stalled,
    /// Every piece is late.
    Late(Duration),
    /// A few bytes at a time.
    Trickle,
}

/// The weather between two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weather {
    /// From the one who connected.
    pub(super) up: Flow,
    pub(super) down: Flow,
    /// New connections get through.
    pub(super) open: bool,
    /// Connections begun under a smaller number are reset.
    pub(super) resets: u32,
    /// Under a larger number than when it began, a connection's upward half is closed.
    pub(super) half_closes: u32,
}

impl Weather {
    const FAIR: Self = Self { up: Flow::Free, down: Flow::Free, open: true, resets: 0, half_closes: 0 };
}

/// One listening port in front of one target.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    weather: watch::Sender<Weather>,
    /// Ends with the proxy.
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on loopback for what is meant for `target`.
    pub(super) async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (weather, seen) = watch::channel(Weather::FAIR);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, target, seen));
        Ok(Self { address, weather, _tasks: tasks })
    }

    /// Changes the weather.
    pub(super) fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// As if nothing had been.
    pub(super) fn calm(&self) {
        self.change(|weather| {
            *weather = Weather { resets: weather.resets, half_closes: weather.half_closes, ..Weather::FAIR };
        });
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, weather: watch::Receiver<Weather>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((near, _)) = listener.accept().await else { return };
        while connections.try_join_next().is_some() {}
        let weather = weather.clone();
        if !weather.borrow().open {
            reset(&near);
            continue;
        }
        connections.spawn(async move {
            // A target that is dead refuses, and so does the proxy, by dropping the connection.
            if let Ok(far) = TcpStream::connect(target).await {
                carry(near, far, weather).await;
            }
        });
    }
}

/// The other end sees "connection reset" instead of an orderly end.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn carry(near: TcpStream, far: TcpStream, mut weather: watch::Receiver<Weather>) {
    let (resets, half_closes) = {
        let now = weather.borrow_and_update();
        (now.resets, now.half_closes)
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let mut pumps = JoinSet::new();
    pumps.spawn(pump(near_read, far_write, weather.clone(), true, half_closes));
    pumps.spawn(pump(far_read, near_write, weather.clone(), false, half_closes));
    let over = async { while pumps.join_next().await.is_some() {} };
    tokio::select! {
        () = over => {}
        _ = weather.wait_for(|now| now.resets > resets) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    up: bool,
    half_closes: u32,
) {
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = async { weather.wait_for(|now| up && now.half_closes > half_closes).await.map(drop) } => Ok(0),
        };
        let Ok(length @ 1..) = read else { break };
        // Looked at again for every piece: a stall keeps what was read until it is over.
        let flow = loop {
            let flow = {
                let now = weather.borrow_and_update();
                if up { now.up } else { now.down }
            };
            if flow != Flow::Stalled {
                break flow;
            }
            if weather.changed().await.is_err() {
                return;
            }
        };
        let written = match flow {
            Flow::Late(by) => {
                pass(by).await;
                to.write_all(&buffer[..length]).await
            }
            Flow::Trickle => trickle(&mut to, &buffer[..length]).await,
            Flow::Free | Flow::Stalled => to.write_all(&buffer[..length]).await,
        };
        if written.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

async fn trickle(to: &mut OwnedWriteHalf, bytes: &[u8]) -> std::io::Result<()> {
    for piece in bytes.chunks(7) {
        to.write_all(piece).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
