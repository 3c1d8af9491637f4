//! The list of saboteurs.

crate::saboteurs! {
    domain "websocket";

    /// A WebSocket client with one mistake.
    pub enum Saboteur {
        /// Empty messages are not sent.
        LosesEmptyMessages => ["messages::messages_arrive_unchanged"],
        /// The chosen sub-protocol is not reported.
        HidesSubProtocols => ["handshake::headers_and_sub_protocols_are_negotiated"],
        /// Invalid URLs and limits are `Unsupported`, not `InvalidInput`.
        WrongKindForInvalidInput => ["handshake::invalid_urls_and_options_are_invalid_input"],
        /// Every refusal is `Status`.
        SameKindForAllRefusals => ["handshake::refusals_have_their_status"],
        /// Reports that a refused connection may have sent the handshake.
        MaybeSentAfterRefusal => ["handshake::refused_and_slow_connections_have_their_kinds"],
        /// A call of `receive` blocks calls of `send`.
        OneOperationAtATime => ["messages::sending_does_not_wait_for_receiving"],
        /// A dropped `receive` loses the message that it has taken.
        LosesOnCancel => ["messages::a_cancelled_receive_loses_nothing"],
        /// Limits are one byte too large.
        LimitIsOffByOne => ["messages::the_size_limit_is_exact"],
        /// `send` succeeds after the close.
        SendsAfterClose => ["closing::our_close_reaches_the_peer"],
        /// `receive` does not return the peer's close frame.
        HidesCloseFrames => ["closing::the_peers_close_is_received"],
        /// A lost connection ends without an error.
        LostConnectionsAreClosed => ["closing::a_lost_connection_is_connection_closed"],
        /// A `close` that the peer does not answer succeeds.
        UnansweredClosesSucceed => ["closing::a_close_without_an_answer_is_a_timeout"],
        /// No pings are sent.
        NeverPings => ["liveness::an_idle_connection_is_pinged"],
        /// A missing pong ends the connection without an error.
        WrongKindForMissingPongs => ["liveness::a_missing_pong_is_a_timeout"],
        /// The query of the URL is not sent.
        LosesQueries => ["handshake::path_and_query_arrive"],
        /// Reserved headers are dropped silently.
        DropsReservedHeaders => ["handshake::reserved_headers_are_invalid_input"],
        /// A sub-protocol that was not offered is `Status`, not `Protocol`.
        WrongKindForUnofferedProtocols => ["handshake::unoffered_sub_protocols_are_refused"],
        /// Only the first fragment of a message is kept.
        LosesFragments => ["messages::fragments_are_reassembled"],
        /// The frame size limit is ignored.
        IgnoresFrameLimits => ["messages::frames_have_a_size_limit"],
        /// Text that is not UTF-8 ends the connection without an error.
        InvalidTextEndsTheConnection => ["messages::text_must_be_utf8"],
        /// `receive` does not return pongs.
        HidesPongs => ["messages::pings_of_the_application_are_answered"],
        /// `receive` does not return pings.
        HidesPings => ["liveness::pings_of_the_peer_are_answered"],
        /// An invalid close closes the connection.
        ClosesOnInvalidInput => ["closing::an_invalid_close_leaves_the_connection_open"],
        /// A close frame given to `send` is dropped.
        LosesCloseFrames => ["closing::sending_a_close_frame_closes"],
        /// Dropping the connection leaves its socket open.
        KeepsSockets => ["closing::dropping_the_connection_closes_its_socket"],
        /// Reading stops after the first message that is not received.
        StopsReading => ["liveness::unreceived_messages_do_not_stop_the_reader"],
        /// The policy for unread messages is ignored.
        IgnoresUnreadLimits => ["liveness::unreceived_messages_are_bounded"],
        /// A `Connection` header with two tokens is refused.
        RefusesLists => ["handshake::tokens_are_found_in_lists"],
        /// An extension that was not offered is `Status`, not `Protocol`.
        WrongKindForUnofferedExtensions => ["handshake::unoffered_extensions_are_refused"],
        /// A close code that a peer must not send is replaced by 1002.
        ReplacesCloseCodes => ["closing::close_codes_are_shown_as_they_came"],
        /// Frames have a limit of 4 MiB by default.
        HasSmallFrames => ["messages::the_default_limits_take_16_mib"],
        /// Errors of refusals have no source.
        LosesRefusals => ["handshake::refusals_are_shown_as_they_came"],
        /// An answer without a correct `Sec-WebSocket-Accept` is `Status`, not `Protocol`.
        WrongKindForWrongAnswers => ["handshake::wrong_answers_are_refused"],
        /// Compression is not offered.
        DropsCompression => ["handshake::compression_is_offered_or_unsupported"],
        /// A violation of the protocol ends the connection without an error.
        ViolationsEndTheConnection => ["messages::violations_of_the_protocol_end_the_connection"],
        /// Unread messages have no limit while the connection waits for the application.
        KeepsEverything => ["liveness::unreceived_messages_slow_the_peer_down"],
    }
}
