//! The HTTP wrappers and transports, one module per subject. The conformance suite tests the contract; these tests cover order,
//! timing, configuration, and the errors of the transports.

/// Runs generic tests with each transport over a network: `hyper::name` and `reqwest::name`.
macro_rules! for_each_transport {
    ($($test:ident),+ $(,)?) => {
        mod hyper {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test::<networking_http::HyperTransport>().await;
                }
            )+
        }

        mod reqwest {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test::<networking_http::ReqwestTransport>().await;
                }
            )+
        }
    };
}
use for_each_transport;

mod api;
mod auth;
mod concurrency;
mod config;
mod cookie_bytes;
mod cookies;
mod decompression;
mod defaults;
mod digest;
mod extended;
mod hedge;
mod identity;
mod interceptor;
mod jwt;
mod jwt_keys;
mod leaks;
mod memory;
mod metrics;
mod oauth2;
mod oauth2_answers;
mod oauth2_flows;
mod order;
mod pool;
mod proxies;
mod proxy;
mod rate_limit;
mod recorded;
mod redirect;
mod resolver;
mod retry;
mod signed_jwt;
mod spans;
mod timeout;
mod tls;
mod trace;
pub(crate) mod transport;
mod user_information;
mod websocket;
mod wrappers;
