// SPDX-License-Identifier: GPL-2.0

//! Looks after backends between requests: opens connections ahead, closes those that have waited
//! too long, and probes backends that could not be reached.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::pool::{self, Pool};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(200);

/// What it looks after.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The pools of the configuration that holds now.
    pub pools: Vec<Arc<Pool>>,
    /// What one attempt to connect may take.
    pub connect: Duration,
}

/// Goes on until the sender is gone.
pub async fn keep(mut kept: watch::Receiver<Kept>) {
    loop {
        let Kept { pools, connect } = kept.borrow_and_update().clone();
        for backend in pools.iter().flat_map(|pool| pool.backends()) {
            backend.sweep();
            while let Some(opening) = backend.wanted() {
                let address = backend.address;
                tokio::spawn(async move {
                    let opened = pool::open(address, None, connect).await;
                    opening.result(opened.and_then(TcpStream::into_std));
                });
            }
        }
        tokio::select! {
            changed = kept.changed() => if changed.is_err() {
                return;
            },
            () = sleep(LOOK) => {}
        }
    }
}
