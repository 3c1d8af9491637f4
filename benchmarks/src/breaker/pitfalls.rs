//! Experiments with known pitfalls of circuit breakers. Each runs on our breaker and on every peer, and a cell of the
//! table shows the observed behaviour.

use std::future::pending;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::subject::{Breaker, Operation, Reply, Settings, Subject, Trouble};

/// The open time of all circuits. Peers use the real clock, so the experiments wait in real time.
const OPEN: Duration = Duration::from_millis(40);
const CALLS: usize = 100;
/// The number of late results, or of mistakes, that an experiment records. One is enough for most breakers; recloser
/// decides only after one result more than its configured length.
const LATE: [(); 3] = [(); 3];

/// Runs all experiments.
pub(crate) fn table() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be built");
    // One experiment panics on purpose, many times: its messages are not printed.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let mut table = Table::new();
    let names = Breaker::ALL.map(|breaker| breaker.name().to_owned());
    table
        .load_style(UTF8_FULL)
        .set_header([vec!["experiment".to_owned()], names.to_vec()].concat());
    for (what, settings, observe) in experiments() {
        let cells = Breaker::ALL.map(|breaker| match breaker.make(&settings) {
            Ok(subject) => runtime.block_on(observe(subject)),
            Err(missing) => missing.to_owned(),
        });
        table.add_row([vec![what.to_owned()], cells.to_vec()].concat());
    }
    panic::set_hook(hook);
    format!(
        "Pitfalls observed in this run (by default, 3 consecutive failures open a circuit, and 1 probe closes it)\n{table}"
    )
}

type Observe = fn(Box<dyn Subject>) -> LocalBoxFuture<'static, String>;

macro_rules! observe {
    ($experiment:ident) => {
        |subject| Box::pin($experiment(Lab(subject)))
    };
}

fn experiments() -> Vec<(&'static str, Settings, Observe)> {
    let plain = Settings {
        failures: 3,
        window: None,
        open: OPEN,
        probes: 1,
        timeout: None,
        cancelled_fails: false,
    };
    let two_probes = Settings {
        probes: 2,
        ..plain.clone()
    };
    let limited = Settings {
        timeout: Some(Duration::from_millis(1)),
        ..plain.clone()
    };
    let strict = Settings {
        cancelled_fails: true,
        ..plain.clone()
    };
    let window = Settings {
        window: Some(10),
        ..plain.clone()
    };
    vec![
        (
            "stampede: 100 concurrent calls while half-open, 2 probes allowed",
            two_probes,
            observe!(stampede),
        ),
        ("a probe hangs forever", plain.clone(), observe!(hung_probe)),
        (
            "10 consecutive probes are cancelled",
            plain.clone(),
            observe!(cancelled_probes),
        ),
        (
            "3 successes of calls from before the trip arrive during a probe",
            plain.clone(),
            observe!(late_success),
        ),
        (
            "3 failures of calls from before the trip arrive during a probe",
            plain.clone(),
            observe!(late_failure),
        ),
        (
            "3 consecutive probes fail by a mistake of the caller",
            plain.clone(),
            observe!(ignored_probe),
        ),
        (
            "50 calls hang, each with the timeout of the breaker",
            limited,
            observe!(hanging_calls),
        ),
        (
            "50 calls hang, each cancelled by an outer timeout",
            plain.clone(),
            observe!(cancelled_calls),
        ),
        (
            "the same, with cancelled calls configured to count as failures",
            strict,
            observe!(cancelled_calls),
        ),
        ("10 calls panic", plain, observe!(panics)),
        (
            "window of 10 calls, threshold 50 %: failures until open, after 1 000 successes",
            window,
            observe!(sliding),
        ),
    ]
}

async fn stampede(lab: Lab) -> String {
    lab.half_open().await;
    let started = Arc::new(AtomicUsize::new(0));
    let mut calls: Vec<_> = (0..CALLS).map(|_| lab.0.call(counted(&started))).collect();
    for call in &mut calls {
        assert_ne!(call.now_or_never(), Some(Reply::Success), "no operation ends");
    }
    format!("{} of {CALLS} admitted", started.load(Ordering::Relaxed))
}

async fn hung_probe(lab: Lab) -> String {
    lab.half_open().await;
    let started = Arc::new(AtomicUsize::new(0));
    // Starts probes until one is rejected.
    let mut probes = Vec::new();
    for _ in 0..CALLS {
        let mut call = lab.0.call(counted(&started));
        if (&mut call).now_or_never() == Some(Reply::Rejected) {
            break;
        }
        probes.push(call);
    }
    if probes.len() == CALLS {
        return format!("no limit: {CALLS} hang");
    }
    for waited in 1..=10 {
        sleep(OPEN).await;
        if lab.succeed().await != Reply::Rejected {
            return format!("next probe after {waited} x the open time");
        }
    }
    "still rejects everything after 10 x the open time".to_owned()
}

async fn cancelled_probes(lab: Lab) -> String {
    lab.half_open().await;
    for _ in 0..10 {
        let mut call = lab.0.call(Box::pin(pending()));
        assert_ne!((&mut call).now_or_never(), Some(Reply::Success));
    }
    sleep(OPEN * 2).await;
    match lab.succeed().await {
        Reply::Rejected => "rejects everything".to_owned(),
        _ => "admits the next probe".to_owned(),
    }
}

async fn late_success(lab: Lab) -> String {
    let late = LATE.map(|()| lab.start());
    lab.half_open().await;
    let _probe = lab.start();
    for call in late {
        call.end(Ok(())).await;
    }
    if lab.is_closed().await {
        "they close it".to_owned()
    } else {
        "they do not close it".to_owned()
    }
}

async fn late_failure(lab: Lab) -> String {
    let late = LATE.map(|()| lab.start());
    lab.half_open().await;
    let probe = lab.start();
    for call in late {
        call.end(Err(Trouble::Failure)).await;
    }
    probe.end(Ok(())).await;
    if lab.is_closed().await {
        "the probe closes it".to_owned()
    } else {
        "they reopen it; the probe's success does not count".to_owned()
    }
}

async fn ignored_probe(lab: Lab) -> String {
    lab.half_open().await;
    lab.mistakes().await;
    if lab.is_closed().await {
        return "closes".to_owned();
    }
    // `is_closed` has recorded failures, so the next check needs a fresh half-open circuit.
    lab.half_open().await;
    lab.mistakes().await;
    match lab.succeed().await {
        Reply::Rejected => "opens again".to_owned(),
        _ => "stays half-open, next probe decides".to_owned(),
    }
}

async fn hanging_calls(lab: Lab) -> String {
    for call in 0..50 {
        if lab.0.call(Box::pin(pending())).await == Reply::Rejected {
            return format!("open after {call}");
        }
    }
    "still closed".to_owned()
}

async fn cancelled_calls(lab: Lab) -> String {
    for call in 0..50 {
        if timeout(Duration::from_millis(1), lab.0.call(Box::pin(pending()))).await == Ok(Reply::Rejected) {
            return format!("open after {call}");
        }
    }
    "still closed".to_owned()
}

async fn panics(lab: Lab) -> String {
    for call in 0..10 {
        let operation: Operation = Box::pin(async { panic!("on purpose") });
        if let Ok(Reply::Rejected) = AssertUnwindSafe(lab.0.call(operation)).catch_unwind().await {
            return format!("open after {call}");
        }
    }
    "still closed".to_owned()
}

async fn sliding(lab: Lab) -> String {
    for _ in 0..1_000 {
        assert_eq!(lab.succeed().await, Reply::Success);
    }
    for failures in 0..5_000 {
        if lab.fail().await == Reply::Rejected {
            return format!("{failures}");
        }
    }
    "more than 5 000".to_owned()
}

/// A circuit under test.
struct Lab(Box<dyn Subject>);

impl Lab {
    async fn succeed(&self) -> Reply {
        self.0.call(Box::pin(async { Ok(()) })).await
    }

    async fn mistakes(&self) {
        for () in LATE {
            self.0.call(Box::pin(async { Err(Trouble::Mistake) })).await;
        }
    }

    async fn fail(&self) -> Reply {
        self.0.call(Box::pin(async { Err(Trouble::Failure) })).await
    }

    /// Fails calls until the circuit opens, and waits until it admits a probe.
    async fn half_open(&self) {
        let mut failures = 0;
        while self.fail().await != Reply::Rejected {
            failures += 1;
            assert!(failures < CALLS, "failures open every circuit");
        }
        sleep(OPEN * 3 / 2).await;
    }

    /// Whether the circuit is closed. Records two failures first: they do not open a circuit that has just closed, but
    /// they reopen a half-open one.
    async fn is_closed(&self) -> bool {
        self.fail().await;
        self.fail().await;
        self.succeed().await == Reply::Success
    }

    /// Starts a call, which must be admitted, and which ends with [`Started::end`].
    fn start(&self) -> Started {
        let (end, ended) = oneshot::channel();
        let operation = async { ended.await.unwrap_or(Err(Trouble::Mistake)) };
        let mut call = self.0.call(Box::pin(operation));
        assert_eq!((&mut call).now_or_never(), None, "the call waits for its end");
        Started { end, call }
    }
}

struct Started {
    end: oneshot::Sender<Result<(), Trouble>>,
    call: BoxFuture<'static, Reply>,
}

impl Started {
    async fn end(self, result: Result<(), Trouble>) {
        self.end.send(result).expect("the operation waits");
        self.call.await;
    }
}

/// An operation that increments the counter when it starts, and never ends.
fn counted(started: &Arc<AtomicUsize>) -> Operation {
    let started = Arc::clone(started);
    Box::pin(async move {
        started.fetch_add(1, Ordering::Relaxed);
        pending().await
    })
}
