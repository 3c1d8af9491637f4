//! When to ping, and when to give the peer up.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use networking_spi::websocket::WebSocketOptions;
use networking_spi::{NetworkError, Phase};
use tokio::time::Instant;

use super::RECEIVE;
use super::wire::Activity;
use crate::connect::config::FOREVER;

/// The state of pings. Nothing is done per message: the timer looks at the activity when it fires.
pub(super) struct KeepAlive {
    interval: Duration,
    timeout: Duration,
    activity: Arc<Activity>,
    pinged: Option<Ping>,
}

struct Ping {
    at: Instant,
    /// Empty while it waits behind other messages. While those move, the peer is there.
    sent: Arc<OnceLock<Instant>>,
}

/// What it is time for.
pub(super) enum Due {
    Nothing,
    /// A ping. Whoever sends it says when.
    Ping(Arc<OnceLock<Instant>>),
    TimedOut(NetworkError),
}

impl KeepAlive {
    /// `None` when no pings are wanted.
    pub(super) fn new(options: &WebSocketOptions, activity: &Arc<Activity>) -> Option<Self> {
        Some(Self {
            interval: options.ping_interval?.min(FOREVER),
            timeout: options.pong_timeout.min(FOREVER),
            activity: Arc::clone(activity),
            pinged: None,
        })
    }

    /// When to ask what is due.
    pub(super) fn next(&self) -> Instant {
        match &self.pinged {
            // The answer may come long before the peer would be given up.
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

    /// When the peer is given up if it is silent until then.
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
    async fn bytes_put_the_ping_off() {
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
    async fn times_can_be_as_long_as_they_like() {
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
    async fn any_byte_is_an_answer() {
        let (mut alive, activity) = keepalive();
        advance(30 * SECOND).await;
        assert!(matches!(alive.due(), Due::Ping(_)));
        advance(9 * SECOND).await;
        activity.record_read();
        advance(SECOND).await;
        assert!(
            matches!(alive.due(), Due::Nothing),
            "a part of a long message, for instance"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_after_a_ping_is_the_end() {
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
            "the time runs from when it was sent"
        );
        advance(SECOND).await;
        assert!(matches!(alive.due(), Due::TimedOut(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_that_waits_behind_a_long_message_gives_nobody_up_while_that_moves() {
        let (mut alive, activity) = keepalive();
        advance(30 * SECOND).await;
        assert!(matches!(alive.due(), Due::Ping(_)));
        for _ in 0..5 {
            advance(9 * SECOND).await;
            activity.record_write();
            assert!(matches!(alive.due(), Due::Nothing));
        }
        advance(10 * SECOND).await;
        assert!(matches!(alive.due(), Due::TimedOut(_)), "it does not move any more");
    }
}
