//! The list of faults.

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident => $case:literal),+ $(,)?) => {
        /// What is wrong with a client.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Fault {
            $($(#[$doc])* $name),+
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The one case that must fail.
            pub const fn caught_by(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => &[concat!("http::", $case)]),+
                }
            }
        }
    };
}

faults! {
    /// Status 599 is an error.
    RaisesUnasked => "response::every_status_is_a_response",
    /// Methods that are not well known become GET.
    ChangesMethods => "request::method_and_body_arrive",
    /// Headers without a value are lost.
    LosesEmptyHeaders => "request::headers_arrive",
    /// Characters beyond ASCII are cut from the query.
    CutsQueries => "request::query_arrives_encoded",
    /// Forms are sent without their content type.
    ForgetsContentTypes => "request::json_and_forms_have_their_content_type",
    /// The last chunk of a stream body is lost.
    LosesLastChunk => "request::stream_bodies_arrive_whole",
    /// A wrong scheme is not called invalid input.
    MisnamesBadUrls => "request::only_http_urls_are_taken",
    /// A relative target may name another host.
    LeavesTheBase => "request::relative_targets_are_resolved",
    /// Of a repeated response header only the first is kept.
    DropsRepeatedHeaders => "response::headers_and_body_come_back",
    /// HEAD is sent as GET.
    GetsForHead => "response::head_and_empty_statuses_have_no_body",
    /// The URL of the response lacks its query.
    ReportsAnotherUrl => "response::the_url_that_answered_is_known_or_unknown",
    /// 401 is an error of the wrong kind.
    MisnamesStatuses => "response::statuses_are_errors_where_that_is_wanted",
    /// Declares what it cannot do.
    Boasts => "declared::client_and_harness_agree",
    /// A proxy that is asked for is not used.
    IgnoresProxies => "declared::undeclared_options_are_refused",
    /// Gives counters that count nothing.
    InventsMetrics => "declared::undeclared_operations_are_refused",
    /// Puts the whole URL into its errors.
    TellsSecrets => "declared::secrets_are_never_shown",
    /// Does not know that a refused connection sent nothing.
    UnsureAfterRefusal => "connection::refused_connections_are_told_apart",
    /// Does not know that an unknown name sent nothing.
    UnsureAfterDns => "connection::unknown_names_are_connection_errors",
    /// A failed handshake is just a connection error.
    HidesTls => "connection::a_peer_without_tls_is_a_tls_error",
    /// Claims that nothing was sent over a connection that broke.
    ClaimsNotSent => "connection::closing_without_an_answer_is_a_connection_error",
    /// Garbage is just a connection error.
    HidesProtocolErrors => "connection::what_is_not_http_is_a_protocol_error",
    /// Goes on with calls that nobody waits for.
    IgnoresCancellation => "connection::dropping_a_call_aborts_it",
    /// One call at a time.
    Serialises => "connection::calls_run_at_the_same_time",
    /// A truncated body looks whole.
    AcceptsTruncation => "body::a_truncated_body_is_an_error",
    /// A response comes only when its body is there.
    BuffersDownloads => "body::a_download_is_handed_on_as_it_arrives",
    /// Reads ahead without bound.
    ReadsAhead => "body::a_slow_reader_slows_the_peer_down",
    /// Sends a stream only when it has ended.
    BuffersUploads => "body::an_upload_is_sent_as_it_comes",
    /// The error of an upload's source is replaced.
    ReplacesSourceErrors => "body::a_failing_upload_fails_the_call",
    /// Opens sources in vain.
    OpensSourcesTwice => "body::a_source_is_opened_for_each_call",
    /// A decoded body still has its `Content-Encoding`.
    KeepsContentEncoding => "body::codings_are_decoded_where_declared",
    /// A corrupt coding ends the body without an error.
    AcceptsCorruption => "body::a_corrupt_coding_is_a_decode_error",
    /// A timeout is not called one.
    MisnamesTimeouts => "limits::a_silent_peer_times_out",
    /// A body that is too late ends without an error.
    EndsLateBodies => "limits::the_timeout_covers_the_body",
    /// The limit of an attempt goes on for the body.
    StretchesAttempts => "limits::the_attempt_timeout_ends_with_the_head",
    /// One byte more than the limit is let through.
    OffByOne => "limits::the_size_limit_is_exact",
    /// Follows redirects that it was told not to follow.
    FollowsAnyway => "redirect::without_control_none_is_followed",
    /// Does not follow 303.
    StopsAtSeeOther => "redirect::redirects_are_followed",
    /// Does not follow a 302 in answer to POST.
    StopsAfterPost => "redirect::method_and_body_follow_the_rules",
    /// Gives up an endless redirect without an error.
    AcceptsLoops => "redirect::endless_redirects_are_an_error",
    /// Takes all headers along to another origin.
    LeaksOnRedirect => "redirect::secrets_stay_with_their_origin",
    /// Does not retry 429.
    FearsRateLimits => "retry::transient_statuses_are_retried",
    /// Repeats every request.
    RepeatsAnything => "retry::only_idempotent_requests_are_repeated",
    /// Does not say how many attempts there were.
    ForgetsAttempts => "retry::what_was_not_sent_is_always_retried",
    /// Waits however long it is told to.
    WaitsForEver => "retry::a_long_retry_after_ends_the_call",
    /// Holds a stream in memory and sends it again.
    RepeatsStreams => "retry::a_stream_is_sent_once",
    /// A request's own policy is ignored.
    IgnoresOwnPolicy => "retry::a_request_can_have_its_own_policy",
    /// A bad policy is taken, and ignored.
    SwallowsBadPolicy => "retry::a_bad_policy_is_refused",
    /// A 404 is a failure of the host.
    BlamesNotFound => "circuit::outcomes_are_reported_by_status",
    /// Does not say when a circuit opens again.
    HidesRejectionDelay => "circuit::a_rejected_call_is_not_sent",
    /// A request's own circuit is ignored.
    IgnoresOwnCircuit => "circuit::circuits_are_per_host_or_named",
    /// The circuit is not told of `Retry-After`.
    ForgetsRetryAfter => "circuit::retry_after_reaches_the_circuit",
    /// Rejections are not retried.
    GivesUpOnRejection => "circuit::each_attempt_asks_the_circuit",
    /// Bytes sent are not counted.
    MiscountsBytes => "metrics::calls_and_outcomes_are_counted",
    /// Failures are not told apart.
    LumpsFailures => "metrics::failures_are_counted_by_kind",
    /// Dropped calls are not counted.
    ForgetsDropped => "metrics::dropped_calls_are_counted",
    /// Retries are not counted.
    ForgetsRetries => "metrics::a_call_with_retries_counts_once",
    /// Declares an extended operation that it refuses.
    BoastsExtended => "extended::extended_capabilities_agree",
    /// Chunks are a byte too long.
    ChunksTooLong => "extended::chunks_have_the_size_that_was_asked_for",
    /// The last byte of long data is lost.
    LosesLastByte => "extended::compression_round_trips",
    /// Corrupt data is empty data.
    AcceptsCorruptData => "extended::corrupt_data_is_a_decode_error",
    /// Tokens are taken as they are.
    TrustsAnyToken => "extended::a_token_that_cannot_verify_is_refused",
    /// Refresh tokens are dropped.
    LosesRefreshTokens => "extended::a_token_is_asked_for_with_its_grant",
    /// Why the server refuses is not told.
    HidesRefusals => "extended::a_refusal_has_the_servers_code",
}
