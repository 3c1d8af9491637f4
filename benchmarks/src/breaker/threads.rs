//! CPU time per call, of one thread and of two threads that run in parallel.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use cpu_time::ThreadTime;
use networking_spi::clock::{Clock, SystemClock};

use crate::measure::nanos_per_call;

/// The share of a round in which both threads must have been running.
const OVERLAP: f64 = 0.8;

/// The maximum number of rounds to find one with enough overlap. If none has, the best one counts.
const ATTEMPTS: usize = 40;

/// Nanoseconds of CPU time per call.
pub(super) fn one(calls: u64, work: impl Fn()) -> f64 {
    let begin = ThreadTime::now();
    work();
    nanos_per_call(calls, begin.elapsed())
}

/// Nanoseconds of CPU time per call, of two concurrent threads that each make `calls` calls.
///
/// On a busy machine, two threads often take turns, and threads that take turns do not contend. CPU time does not show
/// this: contention would seem to cost nothing. So a round counts only if both threads were running for most of it: the
/// times from their first to their last call overlap, and each thread had a core for most of its time. Waiting for a
/// contended cache line counts as running, so the result includes it.
pub(super) fn two(calls: u64, work: impl Fn() + Sync) -> f64 {
    best_of(calls, work, |round| round.overlap() * round.least_share_of_a_core())
}

/// Like [`two`], for work whose threads park while they wait for each other. Parked threads have no core, so only the
/// overlap of their times is required.
pub(super) fn two_that_wait(calls: u64, work: impl Fn() + Sync) -> f64 {
    best_of(calls, work, Round::overlap)
}

fn best_of(calls: u64, work: impl Fn() + Sync, score: impl Fn(&Round) -> f64) -> f64 {
    let mut best: Option<(f64, f64)> = None;
    for _ in 0..ATTEMPTS {
        let round = Round::run(&work);
        let score = score(&round);
        if best.is_none_or(|(highest, _)| score > highest) {
            best = Some((score, round.nanos_per_call(calls)));
        }
        if score >= OVERLAP {
            break;
        }
    }
    let (score, value) = best.expect("there is at least one attempt");
    if score < OVERLAP {
        eprintln!(
            "two threads ran together for only {:.0} % of the best of {ATTEMPTS} rounds",
            score * 100.0
        );
    }
    value
}

/// One run of two threads.
struct Round([Span; 2]);

/// The time from the first to the last call of a thread.
struct Span {
    begin: Duration,
    end: Duration,
    processor: Duration,
}

impl Round {
    fn run(work: &(impl Fn() + Sync)) -> Self {
        let barrier = Barrier::new(2);
        let clock = SystemClock::new();
        let timed = || {
            barrier.wait();
            let (begin, processor) = (clock.elapsed(), ThreadTime::now());
            work();
            Span {
                begin,
                processor: processor.elapsed(),
                end: clock.elapsed(),
            }
        };
        thread::scope(|scope| {
            let threads = [scope.spawn(timed), scope.spawn(timed)];
            Self(threads.map(|thread| thread.join().expect("no thread panics")))
        })
    }

    fn overlap(&self) -> f64 {
        let [a, b] = &self.0;
        let both = a.end.min(b.end).saturating_sub(a.begin.max(b.begin));
        let any = a.end.max(b.end).saturating_sub(a.begin.min(b.begin));
        both.as_secs_f64() / any.as_secs_f64()
    }

    fn least_share_of_a_core(&self) -> f64 {
        let share = |span: &Span| span.processor.as_secs_f64() / span.end.saturating_sub(span.begin).as_secs_f64();
        self.0.iter().map(share).fold(1.0, f64::min)
    }

    fn nanos_per_call(&self, calls: u64) -> f64 {
        let [a, b] = &self.0;
        nanos_per_call(calls * 2, a.processor + b.processor)
    }
}
