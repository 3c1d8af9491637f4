//! The list of saboteurs.

crate::saboteurs! {
    domain "endpoint";

    /// A source with one mistake.
    pub enum Saboteur {
        /// The protocol is another one after the start.
        ChangesProtocol => ["source_lifecycle::the_protocol_is_stable"],
        /// `receive` reports the end before the start.
        EndsBeforeStart => ["source_lifecycle::receiving_before_start_is_not_the_end"],
        /// A second start fails with `Internal`.
        FailsSecondStart => ["source_lifecycle::a_second_start_changes_nothing"],
        /// After a second start, messages are lost.
        ForgetsAtSecondStart => ["source_lifecycle::a_second_start_changes_nothing"],
        /// The health is `up`, always.
        IsAlwaysUp => [
            "source_lifecycle::health_follows_the_life_of_the_source",
            "source_lifecycle::an_unavailable_peer_is_transient",
        ],
        /// The health is unknown, always.
        HasNoHealth => [
            "source_lifecycle::health_follows_the_life_of_the_source",
            "source_lifecycle::an_unavailable_peer_is_transient",
        ],
        /// `health` waits while `receive` does.
        BlocksHealth => ["source_lifecycle::health_answers_while_receive_waits"],
        /// An unavailable peer is an error that is not retryable.
        EndsWithThePeer => ["source_lifecycle::an_unavailable_peer_is_transient"],
        /// `Debug` shows the configuration's credentials.
        ShowsSecrets => ["source_lifecycle::debug_shows_no_secret"],
        /// `Debug` shows queued messages.
        ShowsMessages => ["source_lifecycle::debug_shows_no_secret"],
        /// White space around payloads is removed.
        TrimsPayloads => ["source_content::payloads_arrive_byte_for_byte"],
        /// Payloads are read as UTF-8.
        DecodesPayloads => ["source_content::payloads_arrive_byte_for_byte"],
        /// Payloads of JSON are parsed and written again.
        RewritesJson => ["source_content::payloads_arrive_byte_for_byte"],
        /// Empty payloads are skipped.
        SkipsEmptyPayloads => ["source_content::payloads_arrive_byte_for_byte"],
        /// Payloads end after 64 KiB.
        CutsPayloads => ["source_content::payloads_arrive_byte_for_byte"],
        /// Empty keys are no keys.
        DropsEmptyKeys => ["source_content::keys_arrive_byte_for_byte"],
        /// Messages without a key have an empty one.
        InventsKeys => ["source_content::keys_arrive_byte_for_byte"],
        /// Names of header fields keep their capitals.
        KeepsCapitals => ["source_content::header_fields_arrive_byte_for_byte"],
        /// Of repeated header fields, only the last arrives.
        LosesRepeatedHeaders => ["source_content::header_fields_arrive_byte_for_byte"],
        /// Header fields are sorted by name.
        SortsHeaders => ["source_content::header_fields_arrive_byte_for_byte"],
        /// Values of header fields are read as UTF-8.
        DecodesHeaders => ["source_content::header_fields_arrive_byte_for_byte"],
        /// Parameters of content types are removed.
        StripsParameters => ["source_content::content_types_arrive"],
        /// Messages without a content type get one.
        GuessesContentTypes => ["source_content::content_types_arrive"],
        /// All messages have the same id.
        ReusesIds => ["source_content::ids_are_valid_and_unique"],
        /// Messages have no id.
        LosesIds => ["source_content::ids_are_valid_and_unique"],
        /// An idle `receive` fails after 20 ms.
        TimesOutWhenIdle => [
            "source_receive::an_idle_source_waits",
            "source_receive::concurrent_receives_get_each_message_once",
            "source_stop::stopping_wakes_a_waiting_receive",
        ],
        /// A dropped `receive` loses the message that it has taken.
        LosesOnCancel => ["source_receive::a_cancelled_receive_loses_nothing"],
        /// A second `receive` fails while one waits.
        HasOneReceiver => [
            "source_receive::concurrent_receives_get_each_message_once",
            "source_stop::stopping_wakes_a_waiting_receive",
        ],
        /// The latest message is received first.
        ReversesOrder => ["source_receive::messages_keep_their_order"],
        /// The source takes all messages of its peer.
        HoldsEverything => ["source_receive::an_idle_bridge_bounds_the_source"],
        /// Messages are acknowledged when they are received.
        AcknowledgesEarly => [
            "source_settle::nothing_is_acknowledged_early",
            "source_settle::a_rejection_reaches_the_peer",
            "source_settle::a_dropped_delivery_is_rejected",
            "source_settle::each_outcome_belongs_to_its_message",
        ],
        /// Acknowledgements do not reach the peer.
        LosesAcknowledgements => [
            "source_settle::nothing_is_acknowledged_early",
            "source_settle::an_acknowledgement_reaches_the_peer",
            "source_settle::each_outcome_belongs_to_its_message",
            "source_stop::messages_that_arrived_are_returned",
            "source_stop::messages_in_flight_are_settled_after_stop",
        ],
        /// Rejections are acknowledgements for the peer.
        AcknowledgesRejections => [
            "source_settle::a_rejection_reaches_the_peer",
            "source_settle::a_dropped_delivery_is_rejected",
            "source_settle::each_outcome_belongs_to_its_message",
        ],
        /// Rejections with a permanent error are acknowledgements for the peer.
        AcknowledgesPermanentRejections => ["source_settle::a_rejection_reaches_the_peer"],
        /// Dropped deliveries are acknowledgements for the peer.
        AcknowledgesDropped => ["source_settle::a_dropped_delivery_is_rejected"],
        /// Rejected messages are neither received again nor acknowledged.
        ForgetsRejected => [
            "source_settle::a_rejection_reaches_the_peer",
            "source_settle::a_dropped_delivery_is_rejected",
            "source_settle::each_outcome_belongs_to_its_message",
        ],
        /// An acknowledgement includes all earlier messages.
        AcknowledgesEarlierMessages => ["source_settle::each_outcome_belongs_to_its_message"],
        /// Waiting calls of `receive` do not notice a stop.
        DoesNotWake => ["source_stop::stopping_wakes_a_waiting_receive"],
        /// One of the waiting calls of `receive` notices a stop.
        WakesOne => ["source_stop::stopping_wakes_a_waiting_receive"],
        /// Messages that were not received are refused at the stop.
        RefusesAtStop => ["source_stop::messages_that_arrived_are_returned"],
        /// Messages that were not received are forgotten at the stop.
        ForgetsAtStop => [
            "source_receive::an_idle_bridge_bounds_the_source",
            "source_stop::messages_that_arrived_are_returned",
        ],
        /// After the end, `receive` fails.
        FailsAfterTheEnd => [
            "source_stop::stopping_wakes_a_waiting_receive",
            "source_stop::the_end_is_final",
        ],
        /// A second stop fails.
        FailsSecondStop => ["source_stop::stopping_twice_succeeds"],
        /// A stopped source starts again.
        StartsAgain => ["source_stop::a_stopped_source_cannot_start"],
        /// Messages that are sent after the stop are received.
        TakesAfterStop => ["source_stop::a_stopped_source_takes_nothing"],
        /// Messages that are sent after the stop get no outcome.
        KeepsLatePeersWaiting => ["source_stop::a_stopped_source_takes_nothing"],
        /// A stop refuses the messages in flight.
        RefusesInFlightAtStop => ["source_stop::messages_in_flight_are_settled_after_stop"],
    }
}
