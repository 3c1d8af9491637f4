//! When to ping, and when to give the peer up.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use networking_spi::websocket::WebSocketOptions;
use networking_spi::{NetworkError, Phase};
use tokio::time::Instant;

use super::RECEIVE;
use super::wire::Pulse;

/// The state of pings. Nothing is done per message: the timer looks at the pulse when it fires.
pub(super) struct KeepAlive {
    interval: Duration,
    timeout: Duration,
    pulse: Arc<Pulse>,
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
    GivingUp(NetworkError),
}

impl KeepAlive {
    /// `None` when no pings are wanted.
    pub(super) fn new(options: &WebSocketOptions, pulse: &Arc<Pulse>) -> Option<Self> {
        Some(Self {
            interval: options.ping_interval?,
            timeout: options.pong_timeout,
            pulse: Arc::clone(pulse),
            pinged: None,
        })
    }

    /// When to ask what is due.
    pub(super) fn next(&self) -> Instant {
        match &self.pinged {
            // The answer may come long before the peer would be given up.
            Some(ping) => self.hopeless(ping).min(Instant::now() + self.interval),
            None => self.pulse.heard() + self.interval,
        }
    }

    pub(super) fn due(&mut self) -> Due {
        let now = Instant::now();
        let heard = self.pulse.heard();
        match &self.pinged {
            Some(ping) if heard > ping.at => self.pinged = None,
            Some(ping) if now >= self.hopeless(ping) => {
                return Due::GivingUp(NetworkError::timeout(RECEIVE, Phase::Read, self.timeout));
            }
            Some(_) => return Due::Nothing,
            None => {}
        }
        if now < heard + self.interval {
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
    fn hopeless(&self, ping: &Ping) -> Instant {
        let since = match ping.sent.get() {
            Some(sent) => *sent,
            None => ping.at.max(self.pulse.written()),
        };
        since + self.timeout
    }
}
