//! Deliberately broken WebSocket clients.
//!
//! [`SaboteurHarness`] wraps a harness whose clients are correct. Run against it, the suite must fail in exactly the
//! case that [`Saboteur::caught_by`] names.

mod client;
mod saboteur;

use std::sync::Arc;
use std::time::Duration;

use networking_spi::websocket::WebSocketClient;

use self::client::SaboteurClient;
pub use self::saboteur::Saboteur;
use crate::kit::{CaseRuntime, Harness};
use crate::websocket::WebSocketHarness;

/// A harness whose clients make the mistake of one [`Saboteur`].
#[derive(Debug)]
pub struct SaboteurHarness<H> {
    inner: H,
    saboteur: Saboteur,
}

impl<H: WebSocketHarness> SaboteurHarness<H> {
    /// Wraps the clients of `inner`, so that they make the mistake of `saboteur`.
    pub const fn new(inner: H, saboteur: Saboteur) -> Self {
        Self { inner, saboteur }
    }
}

impl<H: WebSocketHarness> Harness for SaboteurHarness<H> {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    fn runtime(&self) -> CaseRuntime {
        self.inner.runtime()
    }

    /// Three seconds for saboteurs whose cases fail only after this time.
    fn patience(&self) -> Duration {
        let waits = matches!(
            self.saboteur,
            Saboteur::LosesEmptyMessages
                | Saboteur::OneOperationAtATime
                | Saboteur::LosesOnCancel
                | Saboteur::NeverPings
                | Saboteur::HidesPongs
                | Saboteur::HidesPings
                | Saboteur::KeepsSockets
                | Saboteur::StopsReading
                | Saboteur::IgnoresUnreadLimits
        );
        if waits {
            Duration::from_secs(3)
        } else {
            self.inner.patience()
        }
    }
}

impl<H: WebSocketHarness> WebSocketHarness for SaboteurHarness<H> {
    fn client(&self) -> Arc<dyn WebSocketClient> {
        Arc::new(SaboteurClient {
            inner: self.inner.client(),
            saboteur: self.saboteur,
        })
    }
}
