//! The list of saboteurs.

crate::saboteurs! {
    domain "http";

    /// An HTTP client with one mistake.
    pub enum Saboteur {
        /// Status 599 is an error.
        RaisesStatus599 => ["response::every_status_is_a_response"],
        /// Unknown methods are sent as GET.
        ChangesMethods => ["request::method_and_body_arrive"],
        /// Headers without a value are lost.
        LosesEmptyHeaders => ["request::headers_arrive"],
        /// Characters outside of ASCII are removed from the query.
        CutsNonAsciiQueries => ["request::query_arrives_encoded"],
        /// Forms are sent without their content type.
        OmitsContentTypes => ["request::json_and_forms_have_their_content_type"],
        /// The last chunk of a stream body is lost.
        LosesLastChunk => ["request::stream_bodies_arrive_whole"],
        /// A URL of another scheme is `Unsupported`, not `InvalidInput`.
        WrongKindForBadUrls => ["request::only_http_urls_are_accepted"],
        /// A relative target may name another host.
        LeavesTheBaseUrl => ["request::relative_targets_are_resolved"],
        /// Only the first value of a repeated response header is kept.
        DropsRepeatedHeaders => ["response::headers_and_body_come_back"],
        /// HEAD is sent as GET.
        SendsGetForHead => ["response::head_and_empty_statuses_have_no_body"],
        /// The URL of the response lacks its query.
        ReportsAnotherUrl => ["response::the_url_is_the_one_that_answered"],
        /// 401 is `Status`, not `Authentication`.
        WrongKindForStatuses => ["response::raise_for_status_makes_statuses_errors"],
        /// Declares a capability that it lacks.
        DeclaresTooMuch => ["declared::client_and_harness_agree"],
        /// The proxy of a request is ignored.
        IgnoresProxies => ["declared::undeclared_options_are_refused"],
        /// Returns empty metrics, even if metrics are not declared.
        InventsMetrics => ["declared::undeclared_operations_are_refused"],
        /// Errors contain the whole URL.
        ShowsSecrets => ["declared::secrets_are_never_shown"],
        /// Reports that a refused connection may have sent the request.
        MaybeSentAfterRefusal => ["connection::a_refused_connection_is_connection_refused"],
        /// Reports that the request may have been sent although the name was not resolved.
        MaybeSentAfterDns => ["connection::unknown_names_are_connection_errors"],
        /// A failed TLS handshake is `Connection`.
        HidesTlsErrors => ["connection::a_peer_without_tls_is_a_tls_error"],
        /// Reports that nothing was sent on a connection that was closed.
        ClaimsNotSent => ["connection::closing_without_an_answer_is_a_connection_error"],
        /// A POST is sent again if its connection was closed.
        RepeatsClosedPosts => [
            "connection::closing_without_an_answer_is_a_connection_error",
            "retry::only_idempotent_requests_are_repeated",
        ],
        /// A POST is sent again if its connection was closed, and an earlier call has succeeded.
        RepeatsOnReusedConnections => [
            "connection::closing_without_an_answer_is_a_connection_error",
        ],
        /// A POST is retried if its connection was closed, although its status would not be.
        RetriesClosedPosts => ["retry::only_idempotent_requests_are_repeated"],
        /// An answer that is not HTTP is `Connection`.
        HidesProtocolErrors => ["connection::a_non_http_answer_is_a_protocol_error"],
        /// A call continues after its future was dropped.
        IgnoresCancellation => ["connection::dropping_a_call_aborts_it"],
        /// Calls run one after the other.
        OneCallAtATime => [
            "connection::calls_run_at_the_same_time",
            "connection::many_calls_run_at_the_same_time",
        ],
        /// A truncated body ends without an error.
        AcceptsTruncation => ["body::a_truncated_body_is_an_error"],
        /// The response is returned when its whole body has arrived.
        BuffersDownloads => ["body::a_download_is_streamed"],
        /// The response body is read ahead without a bound.
        ReadsAhead => ["body::a_slow_reader_slows_the_peer_down"],
        /// A stream body is sent when all of it has been read.
        BuffersUploads => ["body::an_upload_is_streamed"],
        /// An error of the request body is replaced with one of another kind.
        ReplacesSourceErrors => ["body::a_failing_upload_fails_the_call"],
        /// A body source is opened twice for one attempt.
        OpensSourcesTwice => ["body::a_source_is_opened_for_each_call"],
        /// A decoded body keeps its `Content-Encoding`.
        KeepsContentEncoding => ["body::codings_are_decoded_where_declared"],
        /// A corrupt coding ends the body without an error.
        AcceptsCorruption => ["body::a_corrupt_coding_is_a_decode_error"],
        /// A timeout is an error of another kind.
        WrongKindForTimeouts => ["limits::a_silent_peer_times_out"],
        /// The timeout of a request is ignored, so that a call to a silent peer does not end.
        IgnoresTimeouts => [
            "limits::a_silent_peer_times_out",
            "limits::the_timeout_covers_the_body",
            "waits::a_limit_of_zero_is_refused",
            "waits::a_tiny_limit_ends_the_call",
            "waits::a_limit_ends_the_call_in_time",
        ],
        /// The total timeout of a request is ignored.
        IgnoresTotalTimeouts => [
            "limits::the_total_timeout_covers_the_call",
            "waits::a_limit_of_zero_is_refused",
            "waits::a_tiny_limit_ends_the_call",
            "waits::a_limit_ends_the_call_in_time",
            "waits::a_total_timeout_after_retries_is_exhausted",
        ],
        /// A body that exceeds the timeout ends without an error.
        EndsLateBodies => ["limits::the_timeout_covers_the_body", "limits::the_total_timeout_covers_the_call"],
        /// The attempt timeout continues while the body is read.
        AttemptTimeoutCoversTheBody => [
            "limits::the_attempt_timeout_ends_with_the_head",
            "waits::a_limit_of_zero_is_refused",
        ],
        /// A body of one byte more than the limit is accepted.
        LimitIsOffByOne => [
            "limits::the_size_limit_is_exact",
            "waits::a_large_body_does_not_hide_its_status",
        ],
        /// The limit counts the bytes of an encoded body as they arrive.
        LimitCountsEncodedBytes => ["limits::the_size_limit_is_exact"],
        /// Follows redirects although the request forbids it.
        AlwaysFollows => ["redirect::unfollowed_redirects_are_responses"],
        /// Does not follow 303.
        StopsAtSeeOther => ["redirect::redirects_are_followed"],
        /// Does not follow a 302 response to a POST.
        StopsAfterPost => ["redirect::method_and_body_depend_on_the_status"],
        /// Ends an endless redirect without an error.
        AcceptsLoops => ["circuit::errors_of_the_caller_are_ignored", "redirect::endless_redirects_are_an_error"],
        /// Sends credentials to another origin.
        KeepsCredentialsOnRedirect => ["redirect::credentials_are_not_sent_to_another_origin"],
        /// Does not retry 429.
        NeverRetries429 => ["retry::transient_statuses_are_retried"],
        /// Retries requests that are not idempotent.
        RetriesEveryMethod => ["retry::only_idempotent_requests_are_repeated"],
        /// Errors report one attempt.
        HidesAttempts => ["retry::unsent_requests_are_always_retried"],
        /// Waits for a `Retry-After` of up to one day, whatever the policy.
        IgnoresMaxRetryAfter => ["retry::a_long_retry_after_ends_the_call"],
        /// Buffers a stream body and sends it again.
        RepeatsStreams => ["retry::a_stream_is_sent_once"],
        /// The retry policy of a request is ignored.
        IgnoresRequestPolicy => [
            "retry::a_request_can_have_its_own_policy",
            "waits::a_total_timeout_after_retries_is_exhausted",
        ],
        /// The number of retries of a request is ignored.
        IgnoresRequestRetries => ["retry::a_request_can_change_its_number_of_retries"],
        /// An invalid policy is accepted and ignored.
        AcceptsBadPolicy => ["retry::a_bad_policy_is_refused"],
        /// Every outcome is recorded as a failure.
        CountsNotFoundAsFailure => ["circuit::errors_of_the_caller_are_ignored", "circuit::outcomes_are_reported_by_status"],
        /// Calls that say nothing about the peer are recorded as failures.
        CountsIgnoredAsFailure => ["circuit::errors_of_the_caller_are_ignored"],
        /// `CircuitOpen` has no delay.
        HidesRejectionDelay => ["circuit::a_rejected_call_is_not_sent"],
        /// The circuit name of a request is ignored.
        IgnoresRequestCircuit => ["circuit::circuits_are_per_host_or_named"],
        /// `Retry-After` is not passed to the circuit.
        DropsRetryAfter => ["circuit::retry_after_reaches_the_circuit"],
        /// Rejections are not retried.
        NeverRetriesRejections => ["circuit::each_attempt_acquires_a_permit"],
        /// Bytes sent are not counted.
        OmitsSentBytes => ["metrics::calls_and_outcomes_are_counted"],
        /// Failures are not counted by kind.
        OmitsErrorKinds => ["metrics::failures_are_counted_by_kind"],
        /// Cancelled calls are not counted.
        OmitsCancelledCalls => ["metrics::dropped_calls_are_counted"],
        /// Retries are not counted.
        OmitsRetries => ["metrics::a_call_with_retries_counts_once"],
        /// Declares an extended operation that it refuses.
        DeclaresTooMuchExtended => ["extended::extended_capabilities_agree"],
        /// Chunks are one byte too long.
        ChunksTooLong => ["extended::chunks_have_the_requested_size"],
        /// The first byte of long data is lost.
        LosesLastByte => ["extended::compression_round_trips"],
        /// Corrupt data decompresses to nothing, without an error.
        AcceptsCorruptData => ["extended::corrupt_data_is_a_decode_error"],
        /// Every token is accepted.
        AcceptsEveryToken => [
            "extended::an_unverifiable_token_is_refused",
            "tokens::a_verified_token_returns_its_claims",
        ],
        /// Refresh tokens are dropped.
        LosesRefreshTokens => ["extended::a_token_request_has_its_grant"],
        /// The server's error code is not in the error.
        HidesRefusalCodes => ["extended::a_refusal_has_the_servers_code"],
        /// A token without a refresh token gets one.
        InventsRefreshTokens => ["extended::token_responses_are_read_as_servers_send_them"],
        /// Trailers are lost.
        LosesTrailers => ["response::trailers_are_known_at_the_end_of_the_body"],
        /// Slashes that follow each other are merged.
        MergesSlashes => ["fidelity::targets_arrive_as_written"],
        /// Percent-encoded slashes are decoded.
        DecodesSlashes => ["fidelity::targets_arrive_as_written"],
        /// A parameter without a value gets an empty one.
        CompletesParameters => ["fidelity::targets_arrive_as_written"],
        /// A query with a character that must be encoded is encoded as a whole, with its percent signs.
        EncodesQueriesTwice => ["fidelity::targets_arrive_as_written"],
        /// DELETE is sent without its body.
        DropsBodiesOfDelete => ["fidelity::every_method_can_have_a_body"],
        /// Methods are sent in upper case.
        UppercasesMethods => ["fidelity::every_method_can_have_a_body"],
        /// An empty body is a stream of unknown length.
        StreamsEmptyBodies => ["fidelity::bodies_have_their_length"],
        /// Bytes outside of ASCII are removed from header values.
        CutsNonAsciiHeaders => ["fidelity::header_values_are_bytes"],
        /// `Host` is that of the URL, whatever the request has.
        ReplacesHost => ["fidelity::headers_of_the_caller_are_kept"],
        /// Each attempt gets a new `Idempotency-Key`.
        ReplacesIdempotencyKeys => ["fidelity::headers_of_the_caller_are_kept"],
        /// `Accept-Encoding` is the client's, whatever the request has.
        ReplacesAcceptEncoding => ["fidelity::headers_of_the_caller_are_kept"],
        /// Cookies of responses are sent back, although no jar was configured.
        SendsCookiesBack => ["fidelity::cookies_are_not_sent_back"],
        /// Adds the URL of the previous request as `Referer`.
        AddsReferer => ["fidelity::no_referer_is_added"],
        /// User information is removed from URLs, and not sent as credentials.
        DropsUserInformation => ["fidelity::user_information_becomes_credentials"],
        /// User information is sent as credentials without percent-decoding.
        KeepsPercentsInCredentials => ["fidelity::user_information_becomes_credentials"],
        /// Values of response headers are merged into one.
        MergesHeaders => ["response::every_header_comes_back"],
        /// Every response has the version HTTP/1.1.
        ReportsHttp11 => ["response::the_version_is_that_of_the_response"],
        /// At most eight calls run at the same time.
        EightCallsAtATime => ["connection::many_calls_run_at_the_same_time"],
        /// Needs a runtime with several threads.
        BlocksTheThread => ["connection::one_thread_is_enough"],
        /// The proxy of a request is ignored on the network.
        GoesPastProxies => ["connection::a_request_can_have_its_own_proxy"],
        /// No certificate is accepted.
        TrustsNobody => ["certificates::a_trusted_certificate_is_accepted"],
        /// Certificates are not verified.
        TrustsEverybody => [
            "certificates::an_untrusted_certificate_is_refused",
            "certificates::a_certificate_out_of_its_time_is_refused",
            "certificates::a_certificate_of_another_name_is_refused",
            "certificates::one_request_can_accept_any_certificate",
        ],
        /// The times of certificates are not verified.
        IgnoresTimesOfCertificates => ["certificates::a_certificate_out_of_its_time_is_refused"],
        /// The names of certificates are not verified.
        IgnoresNamesOfCertificates => ["certificates::a_certificate_of_another_name_is_refused"],
        /// Reports that a refused certificate may be accepted later.
        RetriesCertificates => [
            "certificates::an_untrusted_certificate_is_refused",
            "certificates::a_certificate_out_of_its_time_is_refused",
            "certificates::a_certificate_of_another_name_is_refused",
            "certificates::one_request_can_accept_any_certificate",
        ],
        /// Certificates of all later requests are accepted if one request has accepted any.
        StaysUnverified => ["certificates::one_request_can_accept_any_certificate"],
        /// A request cannot accept any certificate, although the capability is declared.
        AlwaysVerifies => ["certificates::one_request_can_accept_any_certificate"],
        /// Does not report HTTP/2.
        HidesHttp2 => ["certificates::http2_is_negotiated"],
        /// Collects the body of a failure before it returns the response.
        CollectsErrorBodies => ["waits::an_error_body_does_not_delay_its_status"],
        /// A body above the limit is an error, whatever the status.
        HidesStatusesOfLargeBodies => ["waits::a_large_body_does_not_hide_its_status"],
        /// A time limit of zero is no limit.
        TakesZeroForNoLimit => ["waits::a_limit_of_zero_is_refused"],
        /// Time limits are rounded down to milliseconds, and zero is no limit.
        RoundsLimitsToNothing => ["waits::a_tiny_limit_ends_the_call"],
        /// Time limits are fifty times as long.
        TimesOutLate => ["waits::a_limit_ends_the_call_in_time"],
        /// Time limits are half as long.
        TimesOutEarly => ["waits::a_limit_ends_the_call_in_time"],
        /// Every timeout has the phase connect.
        ConfusesPhases => ["waits::a_limit_ends_the_call_in_time"],
        /// A total timeout reports one attempt.
        ForgetsAttempts => ["waits::a_total_timeout_after_retries_is_exhausted"],
        /// A total timeout after retries can be retried.
        RetriesTotalTimeouts => ["waits::a_total_timeout_after_retries_is_exhausted"],
        /// No token is accepted.
        RefusesEveryToken => ["tokens::a_verified_token_returns_its_claims"],
        /// The claims of a forged token are returned.
        AcceptsForgedTokens => ["tokens::a_verified_token_returns_its_claims"],
        /// Uses the proxy of the environment.
        UsesProxiesOfTheEnvironment => ["connection::proxies_of_the_environment_are_not_used"],
        /// WebSocket connections are refused, although the capability is declared.
        RefusesWebSockets => ["upgrade::a_websocket_exchanges_messages"],
        /// Compression of WebSocket messages is not offered.
        NeverCompressesWebSockets => ["upgrade::websocket_compression_is_negotiated"],
        /// No statistic is known.
        KnowsNoPool => ["upgrade::pool_statistics_follow_the_calls"],
    }
}
