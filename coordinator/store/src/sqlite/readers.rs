//! A bounded pool of reading connections.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::direct::{self, Direct};
use crate::error::StoreError;

/// The pool; connections are opened as they are needed and kept.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Direct>>>,
}

/// One connection, which goes back when dropped.
#[derive(Debug)]
pub(crate) struct Reader {
    /// `None` only while it is dropped.
    connection: Option<Direct>,
    idle: Arc<Mutex<Vec<Direct>>>,
    _place: OwnedSemaphorePermit,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, most: u32) -> Self {
        let most = usize::try_from(most.max(1)).unwrap_or(1);
        Self { path, places: Arc::new(Semaphore::new(most)), idle: Arc::default() }
    }

    pub(crate) async fn acquire(&self) -> Result<Reader, StoreError> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let idle = self.idle.lock().expect("no holder of this lock panics").pop();
        let connection = match idle {
            Some(connection) => connection,
            None => direct::open_reader(&self.path)
                .map_err(|error| StoreError::of_sqlite("opening a reader of the database", error))?,
        };
        Ok(Reader { connection: Some(connection), idle: Arc::clone(&self.idle), _place: place })
    }
}

impl Deref for Reader {
    type Target = Direct;

    fn deref(&self) -> &Direct {
        self.connection.as_ref().expect("a reader holds its connection until it is dropped")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.idle.lock().expect("no holder of this lock panics").push(connection);
        }
    }
}
