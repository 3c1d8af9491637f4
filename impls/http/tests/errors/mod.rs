//! Every row of the table of errors in `docs/contract/http.md`, caused on loopback with every transport.
//!
//! A case causes the failure and returns the error; the table specifies the error. Requests are POSTs with secrets in every part,
//! through the standard wrappers with one retry. The retry must be used if and only if nothing was sent.

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

/// A test for each case with one backend, in the order of the table.
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
                exchange: closed_without_answer reset_without_answer garbage huge_head bad_length foreign_transfer_coding
                    silent_peer slow_attempt slow_call failing_upload;
                body: silent_body slow_attempt_body slow_body short_body missing_chunk reset_body bad_chunk_size bad_gzip short_gzip
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
            async fn responses_of_a_hostile_server_are_classified() {
                super::hostile::is_classified(&$backend).await;
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
