//! What can be wrong with a circuit breaker.

/// Defines the defects with a list of all of them, so that no test forgets one.
macro_rules! defects {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// One mistake in an otherwise right breaker. Most are taken from breakers that people use.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Defect {
            $($(#[$doc])+ $name,)+
        }

        impl Defect {
            /// Every defect.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

defects! {
    /// `Circuit::name` is empty.
    ForgetsItsName,
    /// Opens one failure late.
    TripsLate,
    /// The metrics do not show the failures in a row.
    HidesTheRow,
    /// A success does not end a row of failures.
    SuccessKeepsTheRow,
    /// Ignored calls are successes.
    IgnoredIsSuccess,
    /// A rate must exceed its threshold, not just reach it.
    RateMustBeExceeded,
    /// Rates count from the first call on.
    NoMinimumOfCalls,
    /// Rates are looked at only after failures.
    OnlyFailuresAreEvaluated,
    /// No call ever leaves a count window.
    WindowNeverSlides,
    /// The window survives a recovery.
    RecoveryKeepsTheWindow,
    /// A time window is a tenth of what it should be.
    TimeWindowTooShort,
    /// No call ever leaves a time window.
    TimeWindowNeverForgets,
    /// No call is slow.
    NothingIsSlow,
    /// Refuses time windows, and declares them.
    RefusesWhatItDeclares,
    /// Accepts time windows, and does not declare them.
    AcceptsWhatItDoesNotDeclare,
    /// Builds the operation before it asks whether it may run.
    BuildsBeforeAsking,
    /// Rejections say the whole open time, not what is left of it.
    RetryAfterIsTheWholeTime,
    /// Errors of rejected calls say nothing but that the circuit is open.
    MuteErrors,
    /// The open time ends too early.
    OpensTooShort,
    /// The list of all states does not notice that open times have passed.
    ListsOutdatedStates,
    /// The state turns half-open only with the next call.
    HalfOpensOnlyWhenCalled,
    /// Open times do not grow.
    NoBackoff,
    /// Open times grow beyond their cap.
    NoCap,
    /// A recovery does not start the backoff over.
    RecoveryKeepsTheBackoff,
    /// All open times are the same.
    NoJitter,
    /// Twice the jitter that is configured.
    TooMuchJitter,
    /// What the dependency asks for is not heard.
    RetryAfterIsIgnored,
    /// What the dependency asks for also shortens the open time.
    RetryAfterShortens,
    /// Only the failure that opens the circuit can ask for a wait.
    OnlyTheLastRetryAfter,
    /// The dependency can ask for any wait.
    RetryAfterIsNotCapped,
    /// Waits that errors of operations carry are lost.
    ErrorsLoseTheirRetryAfter,
    /// Every call is a probe.
    UnlimitedProbes,
    /// One probe more than allowed.
    OneProbeTooMany,
    /// Looks for a free slot first, and takes it later.
    TakesSlotsLater,
    /// The first successful probe closes the circuit.
    OneSuccessCloses,
    /// Successful probes of an earlier round count.
    RoundsShareSuccesses,
    /// An ignored probe keeps its slot.
    IgnoredKeepsItsSlot,
    /// Permits that are dropped never come back.
    DroppedPermitsAreLost,
    /// A probe that hangs keeps its slot for ever.
    NoLease,
    /// The default lease does not look at the call timeout.
    LeaseIgnoresTheTimeout,
    /// A probe counts even when its lease has ended.
    ExpiredProbesCount,
    /// A slow probe is as good as a fast one.
    SlowProbesClose,
    /// A success counts as a probe whenever its call was admitted.
    LateSuccessesClose,
    /// A failure opens a half-open circuit whenever its call was admitted.
    LateFailuresReopen,
    /// Failures from before a recovery count after it.
    LateFailuresCount,
    /// A late ignored result frees the slot of somebody else.
    LateIgnoredFreesASlot,
    /// A late failure moves the end of the open time.
    LateRetryAfterCounts,
    /// Probes of an earlier round decide in a later one.
    OldProbesDecide,
    /// A reset does not start a generation.
    ResetKeepsTheGeneration,
    /// Renames the operation in errors.
    RenamesErrors,
    /// Failures of executed operations do not count.
    ExecutedFailuresAreLost,
    /// A timeout is a cancelled call.
    TimeoutsAreCancellations,
    /// The configured call timeout has no effect.
    NoConfiguredTimeout,
    /// The shorter of the given and the configured timeout applies.
    ShorterTimeoutWins,
    /// The classifier is asked about the breaker's own timeouts.
    TimeoutsAreClassified,
    /// A panic is a cancelled call.
    PanicsAreCancellations,
    /// A cancelled call is a failure, whatever the policy.
    CancellationsAreFailures,
    /// A cancelled call is ignored, whatever the policy.
    CancellationsAreIgnored,
    /// Executed operations are classified by the default classifier.
    OwnClassifierOnly,
    /// A permit counts only in the task that acquired it.
    PermitsBelongToTasks,
    /// A forced-open circuit turns half-open in time.
    ForcedOpenTimesOut,
    /// Failures open a circuit that is forced closed.
    ForcedClosedTrips,
    /// The first order stands until a reset.
    FirstOrderStands,
    /// A configuration lifts an order.
    ConfigurationLiftsOrders,
    /// A reset leaves the totals.
    ResetKeepsTotals,
    /// The configured mode has no effect on a new circuit.
    StartsAutomatic,
    /// Metrics-only mode rejects.
    DryRunRejects,
    /// In metrics-only mode, results of calls beyond the probe slots decide.
    DryRunCallsDecide,
    /// Asking for a state makes the circuit.
    LookingMakesCircuits,
    /// A configuration starts the circuit over.
    ConfigurationStartsOver,
    /// Only the first configuration of a circuit has an effect on when it opens.
    ThresholdsAreFixed,
    /// A resized window is empty.
    ResizingEmptiesTheWindow,
    /// Takes any configuration.
    AcceptsInvalidConfigurations,
    /// Handles show the configuration of the time when the circuit was made.
    ShowsTheFirstConfiguration,
    /// Only circuits that exist can be configured.
    ConfiguresOnlyKnownCircuits,
    /// A second handle of a circuit is another circuit.
    HandlesAreCopies,
    /// All names lead to the first circuit.
    NamesCollide,
    /// The call that makes its circuit does not count.
    FirstCallIsLost,
    /// Lists only circuits that are closed.
    ListsOnlyClosedCircuits,
    /// Any text is a name.
    AcceptsAnyName,
    /// The registry grows without bound.
    UnboundedRegistry,
    /// A full registry never makes room.
    NeverMakesRoom,
    /// Any circuit makes room for a new one.
    EvictsAnything,
    /// A circuit with failures in a row makes room for a new one.
    EvictsFailingCircuits,
    /// Stale results also count as what they are.
    StaleCountsTwice,
    /// The time in a state counts from the circuit's making.
    TimeInStateSinceTheBeginning,
    /// The newest transition comes first.
    NewestTransitionFirst,
    /// Only transitions that are kept are counted.
    CountsRememberedTransitions,
    /// The time in the present state is added only when it ends.
    TimesOfPastStatesOnly,
    /// All transitions are kept.
    UnboundedTransitions,
    /// Events give the wrong reason.
    WrongReasons,
    /// Nobody hears of rejections.
    RejectionsAreNotReported,
    /// Every event comes twice.
    EventsComeTwice,
    /// Only the first subscriber gets anything.
    OneSubscriber,
    /// Events are lost without a word.
    LosesEventsSilently,
    /// Subscribers are woken under the circuit's lock.
    WakesUnderTheLock,
    /// A stream ends as soon as there is nothing to say.
    StreamsEndEarly,
}
