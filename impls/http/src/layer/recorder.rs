//! Measurements of calls, written through the `metrics` facade.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use metrics::{Label, SharedString, Unit, describe_gauge, describe_histogram, gauge, histogram};
use networking_spi::NetworkError;
use networking_spi::http::HttpRequest;
use parking_lot::RwLock;

use super::conventions::{method_name, server_of};

/// The largest number of hosts with separate series. Recorders never drop a series.
const MAX_SERVERS: usize = 200;

/// The `server.address` of all other hosts.
const OTHERS: &str = "_other";

const DURATION: &str = "http.client.request.duration";
const ACTIVE: &str = "http.client.active_requests";
const REQUEST_SIZE: &str = "http.client.request.body.size";
const RESPONSE_SIZE: &str = "http.client.response.body.size";

/// Writes to the installed recorder of the crate `metrics`.
pub(super) struct Recorder {
    /// The label of each server.
    servers: RwLock<HashMap<Box<str>, SharedString>>,
}

impl Recorder {
    pub(super) fn new() -> Self {
        describe_histogram!(DURATION, Unit::Seconds, "Time from the call to the response head");
        describe_gauge!(ACTIVE, Unit::Count, "Calls in flight, up to the response head");
        describe_histogram!(REQUEST_SIZE, Unit::Bytes, "Request bodies of known length");
        describe_histogram!(RESPONSE_SIZE, Unit::Bytes, "Response bodies of known length");
        Self {
            servers: RwLock::default(),
        }
    }

    /// Starts the measurement of a call. The call is active until the measurement is dropped.
    pub(super) fn start(&self, request: &HttpRequest) -> Measurement {
        let (address, port) = server_of(request);
        let mut labels = vec![Label::from_static_parts(
            "http.request.method",
            method_name(&request.method),
        )];
        if let Some(address) = address {
            labels.push(Label::new("server.address", self.server(address)));
        }
        if let Some(port) = port {
            labels.push(Label::new("server.port", port.to_string()));
        }
        gauge!(ACTIVE, labels.clone()).increment(1.0);
        Measurement { labels }
    }

    fn server(&self, address: &str) -> SharedString {
        if let Some(known) = self.servers.read().get(address) {
            return known.clone();
        }
        let mut servers = self.servers.write();
        if servers.len() >= MAX_SERVERS && !servers.contains_key(address) {
            return SharedString::const_str(OTHERS);
        }
        servers
            .entry(address.into())
            .or_insert_with(|| SharedString::from_shared(address.into()))
            .clone()
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("servers", &self.servers.read().len())
            .finish()
    }
}

/// A call that is being measured.
pub(super) struct Measurement {
    labels: Vec<Label>,
}

impl Measurement {
    pub(super) fn responded(&self, status: StatusCode, took: Duration, sent: Option<u64>, received: Option<u64>) {
        let mut labels = self.labels.clone();
        labels.push(Label::new("http.response.status_code", status.as_str().to_owned()));
        if status.as_u16() >= 400 {
            labels.push(Label::new("error.type", status.as_str().to_owned()));
        }
        for (name, size) in [(REQUEST_SIZE, sent), (RESPONSE_SIZE, received)] {
            if let Some(size) = size {
                histogram!(name, labels.clone()).record(size as f64);
            }
        }
        histogram!(DURATION, labels).record(took);
    }

    pub(super) fn failed(&self, error: &NetworkError, took: Duration) {
        let mut labels = self.labels.clone();
        labels.push(Label::from_static_parts("error.type", error.kind().as_str()));
        histogram!(DURATION, labels).record(took);
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        gauge!(ACTIVE, std::mem::take(&mut self.labels)).decrement(1.0);
    }
}
