//! Deliberately broken HTTP clients.
//!
//! [`SaboteurHarness`] wraps a harness whose clients are correct. Run against it, the suite must fail in exactly the
//! case that [`Saboteur::caught_by`] names.

mod breaker;
mod client;
mod extended;
mod saboteur;

use std::sync::Arc;
use std::time::Duration;

use networking_spi::http::{HttpCapabilities, HttpExtendedCapabilities};

use self::client::SaboteurClient;
use self::extended::SaboteurExtended;
pub use self::saboteur::Saboteur;
use crate::http::{HttpHarness, HttpSubject, Origin};
use crate::kit::{CaseRuntime, Harness};

/// A harness whose clients make the mistake of one [`Saboteur`].
#[derive(Debug)]
pub struct SaboteurHarness<H> {
    inner: H,
    saboteur: Saboteur,
}

impl<H: HttpHarness> SaboteurHarness<H> {
    /// Wraps the clients of `inner`, so that they make the mistake of `saboteur`.
    pub const fn new(inner: H, saboteur: Saboteur) -> Self {
        Self { inner, saboteur }
    }
}

impl<H: HttpHarness> Harness for SaboteurHarness<H> {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    fn runtime(&self) -> CaseRuntime {
        self.inner.runtime()
    }

    fn patience(&self) -> Duration {
        self.inner.patience()
    }
}

impl<H: HttpHarness> HttpHarness for SaboteurHarness<H> {
    fn capabilities(&self) -> HttpCapabilities {
        self.inner.capabilities()
    }

    fn extended_capabilities(&self) -> Option<HttpExtendedCapabilities> {
        self.inner.extended_capabilities()
    }

    fn network(&self) -> bool {
        self.inner.network()
    }

    fn tls(&self) -> bool {
        self.inner.tls()
    }

    fn subject(&self, origin: &Origin) -> HttpSubject {
        let HttpSubject { client, extended } = self.inner.subject(origin);
        let extended = extended.map(|inner| {
            Arc::new(SaboteurExtended {
                inner,
                saboteur: self.saboteur,
            }) as _
        });
        HttpSubject {
            client: Arc::new(SaboteurClient::new(client, self.saboteur)),
            extended,
        }
    }
}
