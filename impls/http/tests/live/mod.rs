//! The HTTP client against third-party servers. `cargo xtask live http` starts them and runs these cases. Without servers, every
//! case is listed as ignored.

mod backend;
mod cached;
mod clock;
mod files;
mod http2;
mod httpbin;
mod load;
mod oauth2;
mod oidc;
mod proxy;
mod servers;
mod sessions;
mod socks;
mod websocket;

use std::sync::Arc;

use networking_conformance::runner::Runner;
use networking_conformance::{Applies, Case, Suite};

use self::backend::{Backend, Live};
pub(crate) use self::servers::Servers;

/// Adds the cases against live servers. Without servers, each case is listed as ignored.
pub(crate) fn add_to(mut runner: Runner, servers: Option<Servers>) -> Runner {
    let servers = servers.map(Arc::new);
    for backend in Backend::ALL {
        let servers = servers.clone();
        runner = runner.add(suite(), move || Arc::new(Live::new(backend, servers.clone())));
    }
    runner
}

/// One case per line: the server it talks to, and its function.
macro_rules! cases {
    ($($server:literal $module:ident::$case:ident),+ $(,)?) => {
        vec![$(Case {
            id: concat!(stringify!($module), "::", stringify!($case)),
            // The report counts cases by server.
            clause: $server,
            applies,
            run: |live| Box::pin($module::$case(live)),
        }),+]
    };
}

fn applies(live: &Live) -> Applies {
    Applies::environment(live.has_servers(), "cargo xtask live http starts the servers")
}

fn suite() -> Suite<Live> {
    Suite {
        domain: "live_http",
        cases: cases().into_iter().chain(cases_with_cache()).collect(),
    }
}

fn cases_with_cache() -> Vec<Case<Live>> {
    cases![
        "httpbin" cached::fresh_answers_are_not_fetched,
        "httpbin" cached::old_answers_are_confirmed,
    ]
}

#[cfg(not(feature = "cache"))]
fn cases_with_cache() -> Vec<Case<Live>> {
    Vec::new()
}

fn cases() -> Vec<Case<Live>> {
    cases![
        "httpbin" files::downloads_arrive_whole,
        "httpbin" files::forms_with_files_are_understood,
        "httpbin" httpbin::every_method_arrives,
        "httpbin" httpbin::queries_and_headers_arrive_as_they_are,
        "httpbin" httpbin::forms_and_json_are_understood,
        "httpbin" httpbin::a_mebibyte_is_uploaded,
        "httpbin" httpbin::a_stream_of_unknown_length_is_uploaded,
        "httpbin" httpbin::compressed_answers_are_decoded,
        "httpbin" httpbin::decoding_can_be_left_to_the_caller,
        "httpbin" httpbin::decoded_size_is_limited,
        "httpbin" httpbin::redirects_are_followed,
        "httpbin" httpbin::redirects_have_an_end,
        "httpbin" httpbin::redirects_keep_or_change_the_method,
        "httpbin" httpbin::statuses_are_answers_or_errors,
        "httpbin" httpbin::basic_and_bearer_credentials_are_accepted,
        "httpbin" httpbin::ranges_are_parts_of_the_whole,
        "httpbin" httpbin::a_slow_body_arrives_whole,
        "httpbin" httpbin::a_slow_head_is_a_timeout,
        "httpbin" httpbin::a_slow_body_is_a_timeout,
        "httpbin" httpbin::entity_tags_are_conditions,
        "httpbin" httpbin::chunked_answers_are_streamed,
        "httpbin" httpbin::chunks_have_the_size_asked_for,
        "httpbin" httpbin::text_and_bytes_are_what_was_sent,
        "httpbin" httpbin::repeated_headers_are_kept_apart,
        "httpbin" httpbin::failures_are_tried_again,
        "httpbin" httpbin::many_at_once_get_their_own_answers,
        "httpbin" httpbin::connections_are_used_again,
        "httpbin" sessions::cookies_are_kept_and_taken_back,
        "httpbin" sessions::digests_are_accepted,
        "tinyproxy" proxy::requests_go_through_it,
        "tinyproxy" proxy::a_request_can_have_one_of_its_own,
        "tinyproxy" proxy::tls_goes_through_a_tunnel,
        "tinyproxy" proxy::large_bodies_go_through_a_tunnel,
        "tinyproxy" proxy::credentials_are_sent,
        "tinyproxy" proxy::wrong_credentials_are_a_proxy_error,
        "tinyproxy" proxy::a_refused_tunnel_is_a_proxy_error,
        "tinyproxy" proxy::a_proxy_that_is_not_there_is_a_proxy_error,
        "tinyproxy" proxy::websockets_go_through_a_tunnel,
        "microsocks" socks::requests_go_through_it,
        "microsocks" socks::tls_goes_through_it,
        "microsocks" socks::names_can_be_resolved_by_it,
        "microsocks" socks::credentials_are_sent,
        "microsocks" socks::wrong_credentials_are_a_proxy_error,
        "microsocks" socks::a_target_that_is_not_there_is_a_proxy_error,
        "nginx" http2::alpn_chooses_the_version,
        "nginx" http2::requests_share_a_connection,
        "nginx" http2::uploads_run_side_by_side,
        "nginx" load::posts_on_recycled_connections_are_processed_once,
        "nginx" load::posts_with_a_retry_policy_are_processed_once,
        "nginx" load::gets_on_recycled_connections_are_answered,
        "nginx" load::posts_during_reloads_are_processed_once,
        "nginx" load::early_responses_over_http2_are_returned,
        "nginx" load::early_responses_over_http1_are_returned,
        "nginx" load::early_responses_over_http1_with_tls_are_returned,
        "nghttpd" load::posts_are_processed_once,
        "nghttpd" load::posts_with_a_retry_policy_are_echoed_once,
        "nghttpd" http2::bodies_are_large_both_ways,
        "nghttpd" http2::a_stream_that_nobody_reads_holds_up_no_other,
        "nghttpd" http2::more_requests_than_streams_wait_their_turn,
        "nghttpd" http2::prior_knowledge_needs_no_tls,
        "nghttpd" http2::a_stranger_is_not_trusted,
        "oauth2-mock-server" oauth2::client_credentials_open_the_door,
        "oauth2-mock-server" oauth2::many_requests_share_a_token,
        "oauth2-mock-server" oauth2::tokens_are_renewed_early,
        "oauth2-mock-server" oauth2::a_refused_token_is_replaced,
        "oauth2-mock-server" oauth2::codes_are_exchanged_with_pkce,
        "oauth2-mock-server" oauth2::tokens_verify_until_they_expire,
        "oauth2-mock-server" oauth2::replaced_keys_are_fetched,
        "oidc-provider" oidc::discovery_leads_to_keys,
        "oidc-provider" oidc::access_tokens_are_verified,
        "oidc-provider" oidc::wrong_secrets_are_refused,
        "oidc-provider" oidc::a_user_signs_in_with_pkce,
        "oidc-provider" oidc::a_wrong_verifier_is_refused,
        "oidc-provider" oidc::refresh_tokens_rotate_and_reuse_is_noticed,
        "oidc-provider" oidc::a_client_keeps_its_rotating_token,
        "oidc-provider" oidc::keys_rotate,
        "ws" websocket::messages_come_back,
        "ws" websocket::large_messages_come_back,
        "ws" websocket::headers_and_sub_protocols_are_negotiated,
        "ws" websocket::pings_are_answered,
        "ws" websocket::close_codes_arrive,
        "ws" websocket::a_broken_connection_is_an_error,
        "ws" websocket::refusals_have_their_status,
        "ws" websocket::messages_arrive_in_order_and_whole,
        "ws" websocket::too_large_messages_are_refused,
        "ws" websocket::tls_is_verified,
        "ws" websocket::compressed_messages_come_back,
    ]
}
