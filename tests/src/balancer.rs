//! A TCP load balancer: each connection goes to the next server that takes it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use nexusmon_shared::lifecycle::Lifecycle;
use tokio::net::{TcpListener, TcpStream};

/// Runs until dropped.
#[derive(Debug)]
pub struct Balancer {
    pub address: SocketAddr,
    servers: Arc<Mutex<Vec<SocketAddr>>>,
    lifecycle: Lifecycle,
}

impl Balancer {
    /// Its servers come later.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let lifecycle = Lifecycle::new();
        let (within, soft) = (lifecycle.clone(), lifecycle.soft());
        let servers = Arc::<Mutex<Vec<SocketAddr>>>::default();
        let known = Arc::clone(&servers);
        lifecycle.spawn_quiet("balancer", async move {
            let turn = Arc::new(AtomicUsize::new(0));
            loop {
                let client = tokio::select! {
                    () = soft.cancelled() => return Ok::<(), std::io::Error>(()),
                    accepted = listener.accept() => accepted?.0,
                };
                let servers = known.lock().expect("no holder panics").clone();
                let (turn, soft) = (Arc::clone(&turn), soft.clone());
                within.spawn_quiet("balanced", async move {
                    tokio::select! {
                        () = soft.cancelled() => Ok(()),
                        done = pass(client, &servers, &turn) => done,
                    }
                });
            }
        });
        Ok(Self { address, servers, lifecycle })
    }

    pub fn serve(&self, servers: Vec<SocketAddr>) {
        *self.servers.lock().expect("no holder panics") = servers;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.lifecycle.begin_shutdown();
    }
}

/// One connection. Nobody taking it closes it, as a balancer without servers does.
async fn pass(mut client: TcpStream, servers: &[SocketAddr], turn: &AtomicUsize) -> std::io::Result<()> {
    for _ in 0..servers.len() {
        let next = turn.fetch_add(1, Ordering::Relaxed) % servers.len();
        if let Ok(mut server) = TcpStream::connect(servers[next]).await {
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await?;
            return Ok(());
        }
    }
    Ok(())
}
