//! Every row of the table of errors in `docs/contract/http.md`, brought about on loopback over every transport.
//!
//! A case causes the real thing and gives back the error; the table says what the error has to be. Requests are POSTs with
//! secrets wherever there is room for them, through the standard wrappers with one retry: it must be used where nothing was
//! sent, and nowhere else.

mod backend;
mod body;
mod connect;
mod dropped;
mod exchange;
mod hostile;
mod local;
mod proxy;
mod redirect;
mod status;
mod table;
mod tls;

/// A test for each case over one backend. The order is the table's.
macro_rules! suite {
    ($name:ident: $backend:expr) => {
        mod $name {
            suite!(@cases $backend;
                local: invalid_url foreign_scheme no_turn circuit_open;
                connect: unknown_name denied_destination refused connect_timeout;
                tls: handshake_timeout handshake_cut_short untrusted_certificate wrong_name expired_certificate
                    early_certificate plaintext_peer;
                proxy: proxy_refused proxy_refused_for_tunnel proxy_407 proxy_407_for_tunnel tunnel_refused
                    tunnel_cut_short socks_refused socks_failure socks_garbage socks_credentials;
                exchange: closed_without_answer reset_without_answer garbage huge_head silent_peer slow_attempt
                    slow_call failing_upload;
                body: silent_body slow_body short_body missing_chunk reset_body bad_chunk_size bad_gzip short_gzip
                    bad_json bad_text large_body endless_body bomb;
                redirect: redirect_loop endless_redirects bad_location redirected_stream;
                status: unauthorized forbidden not_found too_many_requests too_many_requests_until not_implemented
                    unavailable;
            );

            #[tokio::test]
            async fn a_dropped_call_closes_its_connection() {
                super::dropped::closes_its_connection(&$backend).await;
            }

            #[tokio::test]
            async fn a_hostile_server_is_seen_through() {
                super::hostile::is_seen_through(&$backend).await;
            }
        }
    };
    (@cases $backend:expr; $($module:ident: $($case:ident)+;)+) => {
        $($(
            #[tokio::test]
            async fn $case() {
                super::table::check(stringify!($case), &super::$module::$case(&$backend).await);
            }
        )+)+

        #[test]
        fn cases_and_table_agree() {
            let cases = [$($(stringify!($case)),+),+];
            assert_eq!(super::table::cases(), cases);
        }
    };
}

suite!(hyper: crate::errors::backend::HYPER);
suite!(reqwest: crate::errors::backend::REQWEST);
