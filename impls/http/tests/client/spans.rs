//! Collects the spans of one test, while other tests run on other threads.

use std::io;
use std::sync::{Arc, Once};

use parking_lot::Mutex;
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::subscriber::{DefaultGuard, Interest};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::fmt::format::FmtSpan;

/// The spans that ended while a test was listening, one per line.
#[derive(Clone, Default)]
pub(super) struct Spans(Arc<Mutex<Vec<u8>>>);

impl Spans {
    /// Listens on this thread until the guard is dropped.
    pub(super) fn listen(&self) -> DefaultGuard {
        prevent_interest_cache();
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_span_events(FmtSpan::CLOSE)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }

    /// The lines of the spans of this name.
    pub(super) fn of(&self, name: &str) -> Vec<String> {
        let start = format!("{name}{{");
        let text = self.text();
        let lines = text.lines().filter(|line| line.contains(&start));
        lines.map(str::to_owned).collect()
    }
}

impl io::Write for Spans {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// tracing caches for all threads whether a span is enabled. A global subscriber that returns `Interest::sometimes` prevents
/// this: each thread is asked again.
pub(super) fn prevent_interest_cache() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(IgnoreSpans).expect("no other test sets it"));
}

/// The subscriber of threads that do not listen.
struct IgnoreSpans;

impl Subscriber for IgnoreSpans {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
