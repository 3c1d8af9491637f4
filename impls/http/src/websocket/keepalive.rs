//! Keepalive: when to send pings, and when a missing pong ends the connection.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use networking_spi::websocket::WebSocketOptions;
use networking_spi::{NetworkError, Phase};
use tokio::time::Instant;

use super::RECEIVE;
use super::wire::Activity;
use crate::connect::config::FOREVER;

/// The state of pings. Messages do not reset the timer: it reads the activity when it fires.
pub(super) struct KeepAlive {
    interval: Duration,
    timeout: Duration,
    activity: Arc<Activity>,
    pinged: Option<Ping>,
}

struct Ping {
    at: Instant,
    /// Unset while the ping waits for other messages to be written.
    sent: Arc<OnceLock<Instant>>,
}

/// The action that is due.
pub(super) enum Due {
    Nothing,
    /// Send a ping, and set the time when it was sent.
    Ping(Arc<OnceLock<Instant>>),
    TimedOut(NetworkError),
}

impl KeepAlive {
    /// `None` if pings are disabled.
    pub(super) fn new(options: &WebSocketOptions, activity: &Arc<Activity>) -> Option<Self> {
        Some(Self {
            interval: options.ping_interval?.min(FOREVER),
            timeout: options.pong_timeout.min(FOREVER),
            activity: Arc::clone(activity),
            pinged: None,
        })
    }

    /// When to call [`due`](Self::due).
    pub(super) fn next(&self) -> Instant {
        match &self.pinged {
            // A pong may arrive long before the deadline, and the next ping must not be late.
            Some(ping) => self.pong_deadline(ping).min(Instant::now() + self.interval),
            None => self.activity.last_read() + self.interval,
        }
    }

    pub(super) fn due(&mut self) -> Due {
        let now = Instant::now();
        let last_read = self.activity.last_read();
        match &self.pinged {
            Some(ping) if last_read > ping.at => self.pinged = None,
            Some(ping) if now >= self.pong_deadline(ping) => {
                return Due::TimedOut(NetworkError::timeout(RECEIVE, Phase::Read, self.timeout));
            }
            Some(_) => return Due::Nothing,
            None => {}
        }
        if now < last_read + self.interval {
            return Due::Nothing;
        }
        let sent = Arc::new(OnceLock::new());
        self.pinged = Some(Ping {
            at: now,
            sent: Arc::clone(&sent),
        });
        Due::Ping(sent)
    }

    /// When the connection times out if nothing is received until then.
    fn pong_deadline(&self, ping: &Ping) -> Instant {
        let since = match ping.sent.get() {
            Some(sent) => *sent,
            None => ping.at.max(self.activity.last_write()),
        };
        since + self.timeout
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Pings after 30 s, waits for 10 s.
    fn keepalive() -> (KeepAlive, Arc<Activity>) {
        let activity = Activity::new();
        let alive = KeepAlive::new(&WebSocketOptions::default(), &activity).expect("pings are the default");
        (alive, activity)
    }

    #[tokio::test(start_paused = true)]
    async fn received_bytes_delay_the_ping() {
        let (mut alive, activity) = keepalive();
        advance(29 * SECOND).await;
        activity.record_read();
        advance(29 * SECOND).await;
        assert!(matches!(alive.due(), Due::Nothing));
        assert_eq!(alive.next(), Instant::now() + SECOND);
        advance(SECOND).await;
        assert!(matches!(alive.due(), Due::Ping(_)));
        assert!(matches!(alive.due(), Due::Nothing), "one ping at a time");
    }

    #[tokio::test(start_paused = true)]
    async fn times_of_any_length_are_accepted() {
        let mut options = WebSocketOptions::default();
        options.pong_timeout = Duration::MAX;
        for interval in [SECOND, Duration::MAX] {
            options.ping_interval = Some(interval);
            let mut alive = KeepAlive::new(&options, &Activity::new()).expect("pings are wanted");
            assert!(alive.next() >= Instant::now() + SECOND);
            advance(SECOND).await;
            assert_eq!(matches!(alive.due(), Due::Ping(_)), interval == SECOND);
            assert!(alive.next() > Instant::now());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn any_byte_counts_as_a_response() {
        let (mut alive, activity) = keepalive();
        advance(30 * SECOND).await;
        assert!(matches!(alive.due(), Due::Ping(_)));
        advance(9 * SECOND).await;
        activity.record_read();
        advance(SECOND).await;
        assert!(
            matches!(alive.due(), Due::Nothing),
            "the byte may be part of a long message"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_after_a_ping_times_out() {
        let (mut alive, _activity) = keepalive();
        advance(30 * SECOND).await;
        let Due::Ping(sent) = alive.due() else {
            panic!("a ping is due")
        };
        advance(2 * SECOND).await;
        sent.set(Instant::now()).expect("sent once");
        advance(9 * SECOND).await;
        assert!(
            matches!(alive.due(), Due::Nothing),
            "the timeout starts when the ping is sent"
        );
        advance(SECOND).await;
        assert!(matches!(alive.due(), Due::TimedOut(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_that_waits_behind_a_long_message_does_not_time_out_while_bytes_are_written() {
        let (mut alive, activity) = keepalive();
        advance(30 * SECOND).await;
        assert!(matches!(alive.due(), Due::Ping(_)));
        for _ in 0..5 {
            advance(9 * SECOND).await;
            activity.record_write();
            assert!(matches!(alive.due(), Due::Nothing));
        }
        advance(10 * SECOND).await;
        assert!(matches!(alive.due(), Due::TimedOut(_)), "no more bytes are written");
    }
}
