//! The transports, and tests that run over both of them or over one.

use std::sync::Arc;

use networking_http::{HyperTransport, ReqwestTransport, TransportConfig};
use networking_spi::http::HttpClient;

pub(crate) type Make = fn(TransportConfig) -> Arc<dyn HttpClient>;

pub(crate) const HYPER: Make = |config| Arc::new(HyperTransport::new(config).unwrap());
pub(crate) const REQWEST: Make = |config| Arc::new(ReqwestTransport::new(config).unwrap());

/// A test of each function over each transport.
macro_rules! over_both {
    ($($test:ident),+ $(,)?) => {
        mod hyper {
            $(#[tokio::test] async fn $test() { super::$test($crate::transports::HYPER).await; })+
        }
        mod reqwest {
            $(#[tokio::test] async fn $test() { super::$test($crate::transports::REQWEST).await; })+
        }
    };
}

/// Tests over the hyper transport alone.
macro_rules! over_hyper {
    ($($test:ident),+ $(,)?) => {
        mod hyper_alone {
            $(#[tokio::test] async fn $test() { super::$test($crate::transports::HYPER).await; })+
        }
    };
}

pub(crate) use {over_both, over_hyper};
