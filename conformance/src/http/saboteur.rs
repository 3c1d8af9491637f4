//! Clients with one fault each, to show that every case finds the fault it is there for.
//!
//! [`Saboteur`] wraps a harness whose clients are correct. Running the suite against it must fail in exactly the case that
//! [`Fault::caught_by`] names.

mod breaker;
mod client;
mod extended;
mod fault;

use std::sync::Arc;

use networking_spi::http::{HttpCapabilities, HttpExtendedCapabilities};

use self::client::Faulty;
pub use self::fault::Fault;
use super::{HttpHarness, HttpSubject, Origin};
use crate::case::{CaseRuntime, Harness};

/// A harness whose clients have one fault.
#[derive(Debug)]
pub struct Saboteur<H> {
    inner: H,
    fault: Fault,
}

impl<H: HttpHarness> Saboteur<H> {
    /// Puts `fault` into the clients of `inner`.
    pub const fn new(inner: H, fault: Fault) -> Self {
        Self { inner, fault }
    }
}

impl<H: HttpHarness> Harness for Saboteur<H> {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    fn runtime(&self) -> CaseRuntime {
        self.inner.runtime()
    }
}

impl<H: HttpHarness> HttpHarness for Saboteur<H> {
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
            Arc::new(extended::Faulty {
                inner,
                fault: self.fault,
            }) as _
        });
        HttpSubject {
            client: Arc::new(Faulty::new(client, self.fault)),
            extended,
        }
    }
}
