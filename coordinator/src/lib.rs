//! The NEXUSMON coordinator as a library: everything `nexusmon serve` and `nexusmon up` do, so that tests start the
//! same thing.

pub mod background;
pub mod blobs;
pub mod cli;
pub mod app;
pub mod config;
pub mod error;
pub mod grpc;
pub mod http;
pub mod keys;
pub mod service;
