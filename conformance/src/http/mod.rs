//! The HTTP suite, for [`HttpClient`](networking_spi::http::HttpClient) and
//! [`HttpExtended`](networking_spi::http::HttpExtended).
//!
//! The clauses are in `docs/contract/http.md`. Implement [`HttpHarness`], and run [`suite`] or expand
//! [`http_conformance!`](crate::http_conformance):
//!
//! ```
//! use std::sync::Arc;
//! use networking_conformance::http::HttpHarness;
//!
//! # fn my_harness() -> Arc<dyn HttpHarness> { unreachable!("the example is only compiled") }
//! networking_conformance::http_conformance!(my_harness);
//! ```

mod breaker;
mod cases;
mod closing;
mod harness;
pub mod hostile;
mod origin;
mod patient;
mod server;
mod tls;

use cases::{
    body, certificates, circuit, connection, declared, extended, fidelity, limits, metrics, redirect, request,
    response, retry, tokens, upgrade, waits,
};
use harness::when;

pub use harness::{HttpHarness, HttpSubject, Tls};
pub use origin::Origin;

use crate::kit::define_suite;

define_suite! {
    ($)
    /// Expands to one `#[test]` per HTTP case. The argument is a closure or function that makes the harness: a
    /// type that implements [`HttpHarness`](crate::http::HttpHarness), or an `Arc` of it.
    macro http_conformance;
    domain "http" in http;
    harness dyn HttpHarness;
    modules { response, request, fidelity, declared, connection, certificates, body, waits, limits, redirect, retry, circuit, metrics, extended, tokens, upgrade }
    cases {
        "HTTP-1" response::every_status_is_a_response,
        "HTTP-2" request::method_and_body_arrive,
        "HTTP-3" request::headers_arrive,
        "HTTP-4" request::query_arrives_encoded,
        "HTTP-5" request::json_and_forms_have_their_content_type,
        "HTTP-6" request::stream_bodies_arrive_whole,
        "HTTP-7" request::only_http_urls_are_accepted,
        "HTTP-8" request::relative_targets_are_resolved if when::base_url,
        "HTTP-68" fidelity::targets_arrive_as_written,
        "HTTP-69" fidelity::every_method_can_have_a_body,
        "HTTP-70" fidelity::bodies_have_their_length if when::network,
        "HTTP-71" fidelity::header_values_are_bytes,
        "HTTP-72" fidelity::headers_of_the_caller_are_kept,
        "HTTP-73" fidelity::cookies_are_not_sent_back,
        "HTTP-74" fidelity::no_referer_is_added,
        "HTTP-75" fidelity::user_information_becomes_credentials,
        "HTTP-9" response::headers_and_body_come_back,
        "HTTP-10" response::head_and_empty_statuses_have_no_body,
        "HTTP-11" response::the_url_is_the_one_that_answered,
        "HTTP-12" response::raise_for_status_makes_statuses_errors if when::raise_for_status,
        "HTTP-65" response::trailers_are_known_at_the_end_of_the_body if when::trailers,
        "HTTP-76" response::every_header_comes_back,
        "HTTP-77" response::the_version_is_that_of_the_response if when::network,
        "HTTP-13" declared::client_and_harness_agree,
        "HTTP-14" declared::undeclared_options_are_refused,
        "HTTP-15" declared::undeclared_operations_are_refused,
        "HTTP-16" declared::secrets_are_never_shown,
        "HTTP-17" connection::a_refused_connection_is_connection_refused if when::network,
        "HTTP-18" connection::unknown_names_are_connection_errors if when::network,
        "HTTP-19" connection::a_peer_without_tls_is_a_tls_error if when::tls,
        "HTTP-20" connection::closing_without_an_answer_is_a_connection_error if when::network,
        "HTTP-21" connection::a_non_http_answer_is_a_protocol_error if when::network,
        "HTTP-22" connection::dropping_a_call_aborts_it if when::network,
        "HTTP-23" connection::calls_run_at_the_same_time,
        "HTTP-78" connection::many_calls_run_at_the_same_time,
        "HTTP-79" connection::one_thread_is_enough,
        "HTTP-80" connection::a_request_can_have_its_own_proxy if when::per_request_proxy,
        "HTTP-97" connection::proxies_of_the_environment_are_not_used if when::proxy_in_environment,
        "HTTP-81" certificates::a_trusted_certificate_is_accepted if when::trust,
        "HTTP-82" certificates::an_untrusted_certificate_is_refused if when::tls,
        "HTTP-83" certificates::a_certificate_out_of_its_time_is_refused if when::trust,
        "HTTP-84" certificates::a_certificate_of_another_name_is_refused if when::trust,
        "HTTP-85" certificates::one_request_can_accept_any_certificate if when::per_request_tls,
        "HTTP-86" certificates::http2_is_negotiated if when::http2,
        "HTTP-24" body::a_truncated_body_is_an_error if when::network,
        "HTTP-25" body::a_download_is_streamed if when::streaming_download,
        "HTTP-26" body::a_slow_reader_slows_the_peer_down if when::network_download,
        "HTTP-27" body::an_upload_is_streamed if when::network_upload,
        "HTTP-28" body::a_failing_upload_fails_the_call,
        "HTTP-29" body::a_source_is_opened_for_each_call,
        "HTTP-30" body::codings_are_decoded_where_declared,
        "HTTP-31" body::a_corrupt_coding_is_a_decode_error if when::decompression,
        "HTTP-87" waits::an_error_body_does_not_delay_its_status if when::streaming_download,
        "HTTP-32" limits::a_silent_peer_times_out if when::timeout,
        "HTTP-33" limits::the_timeout_covers_the_body if when::timeout_and_streaming,
        "HTTP-34" limits::the_attempt_timeout_ends_with_the_head if when::attempt_timeout_and_streaming,
        "HTTP-66" limits::the_total_timeout_covers_the_call if when::total_timeout_and_streaming,
        "HTTP-35" limits::the_size_limit_is_exact if when::response_size_limit,
        "HTTP-88" waits::a_large_body_does_not_hide_its_status if when::response_size_limit,
        "HTTP-89" waits::a_limit_of_zero_is_refused if when::any_timeout,
        "HTTP-90" waits::a_tiny_limit_ends_the_call if when::any_timeout,
        "HTTP-91" waits::a_limit_ends_the_call_in_time if when::any_timeout,
        "HTTP-92" waits::a_total_timeout_after_retries_is_exhausted if when::total_timeout_and_retry,
        "HTTP-36" redirect::unfollowed_redirects_are_responses,
        "HTTP-37" redirect::redirects_are_followed if when::redirect_control,
        "HTTP-38" redirect::method_and_body_depend_on_the_status if when::redirect_control,
        "HTTP-39" redirect::endless_redirects_are_an_error if when::redirect_control,
        "HTTP-40" redirect::credentials_are_not_sent_to_another_origin if when::network_redirects,
        "HTTP-41" retry::transient_statuses_are_retried if when::retry,
        "HTTP-42" retry::only_idempotent_requests_are_repeated if when::retry,
        "HTTP-43" retry::unsent_requests_are_always_retried if when::network_retry,
        "HTTP-44" retry::a_long_retry_after_ends_the_call if when::retry,
        "HTTP-45" retry::a_stream_is_sent_once if when::retry,
        "HTTP-46" retry::a_request_can_have_its_own_policy if when::retry,
        "HTTP-67" retry::a_request_can_change_its_number_of_retries if when::retry,
        "HTTP-47" retry::a_bad_policy_is_refused if when::retry,
        "HTTP-48" circuit::outcomes_are_reported_by_status if when::circuit_breaker,
        "HTTP-98" circuit::errors_of_the_caller_are_ignored if when::circuit_breaker_and_limits,
        "HTTP-49" circuit::a_rejected_call_is_not_sent if when::circuit_breaker,
        "HTTP-50" circuit::circuits_are_per_host_or_named if when::circuit_breaker,
        "HTTP-51" circuit::retry_after_reaches_the_circuit if when::circuit_breaker,
        "HTTP-52" circuit::each_attempt_acquires_a_permit if when::retry_and_circuit_breaker,
        "HTTP-53" metrics::calls_and_outcomes_are_counted if when::metrics,
        "HTTP-54" metrics::failures_are_counted_by_kind if when::network_metrics,
        "HTTP-55" metrics::dropped_calls_are_counted if when::metrics,
        "HTTP-56" metrics::a_call_with_retries_counts_once if when::metrics_and_retry,
        "HTTP-57" extended::extended_capabilities_agree if when::extended,
        "HTTP-58" extended::chunks_have_the_requested_size if when::extended_streaming,
        "HTTP-59" extended::compression_round_trips if when::extended_compression,
        "HTTP-60" extended::corrupt_data_is_a_decode_error if when::extended_compression,
        "HTTP-61" extended::an_unverifiable_token_is_refused if when::extended_jwt,
        "HTTP-96" tokens::a_verified_token_returns_its_claims if when::extended_jwt,
        "HTTP-62" extended::a_token_request_has_its_grant if when::extended_oauth2,
        "HTTP-63" extended::a_refusal_has_the_servers_code if when::extended_oauth2,
        "HTTP-64" extended::token_responses_are_read_as_servers_send_them if when::extended_oauth2,
        "HTTP-93" upgrade::a_websocket_exchanges_messages if when::extended_websocket,
        "HTTP-94" upgrade::websocket_compression_is_negotiated if when::extended_websocket_compression,
        "HTTP-95" upgrade::pool_statistics_follow_the_calls if when::extended_pool_stats,
    }
}
