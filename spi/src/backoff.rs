//! Delays between attempts.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Result;
use crate::validate::{self, Validate};

/// Exponential backoff with jitter: the delays between attempts.
///
/// The delay after failure *n* is `initial * multiplier^(n-1)`, at most `maximum`, randomised by `jitter`. The randomised
/// delay is never longer than `maximum` either.
///
/// ```
/// use std::time::Duration;
/// use networking_spi::backoff::{Backoff, Jitter};
/// use networking_spi::validate::Validate;
///
/// let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1)).with_jitter(Jitter::None);
/// backoff.validate()?;
/// let delays: Vec<_> = (1..=5).map(|attempt| backoff.delay(attempt, 0.5).as_millis()).collect();
/// assert_eq!(delays, [100, 200, 400, 800, 1000]);
///
/// // Full jitter draws from the whole range: zero up to the computed delay.
/// let random = 0.25; // from a random number generator
/// assert_eq!(backoff.with_jitter(Jitter::Full).delay(3, random), Duration::from_millis(100));
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Backoff {
    /// The delay after the first failure, before jitter.
    #[serde(with = "humantime_serde")]
    pub initial: Duration,
    /// The longest delay, including jitter. Must not be shorter than `initial`.
    #[serde(with = "humantime_serde")]
    pub maximum: Duration,
    /// The factor by which each failure lengthens the delay, at least 1.0.
    pub multiplier: f64,
    /// How the delay is randomised.
    pub jitter: Jitter,
}

/// How a delay is randomised, so that clients do not retry at the same moment.
///
/// Exhaustive on purpose: code that computes delays handles each case.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Uniform between zero and the computed delay.
    #[default]
    Full,
    /// Uniform between half of the computed delay and all of it.
    Equal,
    /// Uniform around the computed delay, plus or minus this share of it (0.0 ..= 1.0): 0.1 gives 90 % to 110 %.
    Proportional(f64),
    /// No jitter: exactly the computed delay.
    None,
}

impl Default for Backoff {
    /// 100 ms, doubling up to 10 s, with full jitter.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(10))
    }
}

impl Backoff {
    /// Starts with `initial`, doubles up to `maximum`, with full jitter.
    pub const fn new(initial: Duration, maximum: Duration) -> Self {
        Self {
            initial,
            maximum,
            multiplier: 2.0,
            jitter: Jitter::Full,
        }
    }

    /// Waits exactly `delay` after every failure.
    pub const fn fixed(delay: Duration) -> Self {
        Self {
            initial: delay,
            maximum: delay,
            multiplier: 1.0,
            jitter: Jitter::None,
        }
    }

    /// Sets the delay after the first failure.
    pub const fn with_initial(mut self, initial: Duration) -> Self {
        self.initial = initial;
        self
    }

    /// Sets the longest delay.
    pub const fn with_maximum(mut self, maximum: Duration) -> Self {
        self.maximum = maximum;
        self
    }

    /// Sets the factor by which each failure lengthens the delay.
    pub const fn with_multiplier(mut self, multiplier: f64) -> Self {
        self.multiplier = multiplier;
        self
    }

    /// Sets how the delay is randomised.
    pub const fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Returns the delay after failure number `attempt`, counted from 1 (0 counts as 1). The caller draws `random`
    /// uniformly from `0.0..1.0`.
    ///
    /// Never panics: a product that is too large becomes `maximum`, and values that [`validate`](Validate::validate)
    /// refuses are replaced by the nearest valid ones. Without jitter, integer multiples of `initial` are exact to the
    /// nanosecond.
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let computed = self.computed(attempt);
        let random = if random.is_nan() { 0.0 } else { random.clamp(0.0, 1.0) };
        let factor = match self.jitter {
            Jitter::Full => random,
            Jitter::Equal => 0.5 + random / 2.0,
            Jitter::Proportional(share) if share > 0.0 => 1.0 + share.min(1.0) * (random * 2.0 - 1.0),
            Jitter::Proportional(_) | Jitter::None => return computed,
        };
        scaled(computed, factor).min(self.maximum)
    }

    /// Deserializes a backoff, and takes absent fields from `defaults`. For the `deserialize_with` of a policy whose
    /// defaults differ from [`Backoff::default`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use networking_spi::backoff::Backoff;
    ///
    /// let defaults = Backoff::fixed(Duration::from_secs(30));
    /// let mut json = serde_json::Deserializer::from_str(r#"{"maximum": "5m"}"#);
    /// let backoff = Backoff::deserialize_over(defaults, &mut json)?;
    /// assert_eq!(backoff, defaults.with_maximum(Duration::from_secs(300)));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns the error of the deserializer, also for an unknown field.
    pub fn deserialize_over<'de, D: Deserializer<'de>>(defaults: Self, deserializer: D) -> Result<Self, D::Error> {
        let given = Given::deserialize(deserializer)?;
        Ok(Self {
            initial: given.initial.unwrap_or(defaults.initial),
            maximum: given.maximum.unwrap_or(defaults.maximum),
            multiplier: given.multiplier.unwrap_or(defaults.multiplier),
            jitter: given.jitter.unwrap_or(defaults.jitter),
        })
    }

    /// The delay before jitter.
    fn computed(&self, attempt: u32) -> Duration {
        let failures = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        // `max` also replaces a multiplier that is not a number.
        let growth = self.multiplier.max(1.0).powi(failures);
        let grown = match whole(growth) {
            Some(growth) => self.initial.saturating_mul(growth),
            None => scaled(self.initial, growth),
        };
        grown.min(self.maximum)
    }
}

impl Validate for Backoff {
    fn validate(&self) -> Result<()> {
        validate::ensure(
            self.maximum >= self.initial,
            "maximum",
            "must not be shorter than initial",
        )?;
        validate::ensure(
            self.multiplier.is_finite() && self.multiplier >= 1.0,
            "multiplier",
            "must be at least 1.0",
        )?;
        match self.jitter {
            Jitter::Proportional(share) => validate::share(share, "jitter"),
            Jitter::Full | Jitter::Equal | Jitter::None => Ok(()),
        }
    }
}

/// The fields that a configuration sets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Backoff")]
struct Given {
    #[serde(default, with = "humantime_serde")]
    initial: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    maximum: Option<Duration>,
    multiplier: Option<f64>,
    jitter: Option<Jitter>,
}

/// Returns the factor as an integer, if `Duration` can be multiplied by it exactly.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked: a whole number from 1 to u32::MAX"
)]
fn whole(factor: f64) -> Option<u32> {
    (factor.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&factor)).then_some(factor as u32)
}

/// `duration * factor` for a factor of at least zero; [`Duration::MAX`] if the product is too large.
fn scaled(duration: Duration, factor: f64) -> Duration {
    if duration.is_zero() {
        // Zero times infinity is not a number.
        return duration;
    }
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    /// The smallest and the largest random number, some in between, and some invalid ones.
    const RANDOMS: [f64; 9] = [
        0.0,
        0.25,
        0.5,
        0.999_999_999_999_999_9,
        1.0,
        -1.0,
        7.0,
        f64::NAN,
        f64::INFINITY,
    ];

    #[test]
    fn delays_grow_up_to_the_maximum() {
        let backoff = Backoff::new(SECOND, SECOND * 60).with_jitter(Jitter::None);
        let seconds = |attempts: std::ops::RangeInclusive<u32>| -> Vec<u64> {
            attempts.map(|attempt| backoff.delay(attempt, 0.5).as_secs()).collect()
        };
        assert_eq!(seconds(1..=8), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(seconds(u32::MAX..=u32::MAX), [60]);
        assert_eq!(seconds(0..=0), [1], "attempts count from 1");
        let slower = backoff.with_multiplier(1.5);
        assert_eq!(slower.delay(3, 0.0), Duration::from_millis(2_250));
    }

    #[test]
    fn a_fixed_delay_is_exact() {
        for delay in [0, 1, 99, 100_000_001, 123_456_789_012, u64::MAX].map(Duration::from_nanos) {
            for random in RANDOMS {
                assert_eq!(Backoff::fixed(delay).delay(7, random), delay);
                let no_share = Backoff::fixed(delay).with_jitter(Jitter::Proportional(0.0));
                assert_eq!(no_share.delay(7, random), delay);
            }
        }
        assert_eq!(Backoff::fixed(Duration::MAX).delay(u32::MAX, 0.9), Duration::MAX);
    }

    #[test]
    fn whole_multiples_are_exact() {
        let initial = Duration::from_nanos(9_007_199_254_740_993);
        let backoff = Backoff::new(initial, Duration::MAX).with_jitter(Jitter::None);
        assert_eq!(backoff.delay(1, 0.0), initial);
        assert_eq!(backoff.delay(2, 0.0), initial * 2);
        assert_eq!(backoff.delay(32, 0.0), initial * (1 << 31));
        assert_eq!(backoff.delay(1_000, 0.0), Duration::MAX);
    }

    #[test]
    fn jitter_stays_in_its_band() {
        let with = |jitter| Backoff::new(SECOND, SECOND * 60).with_jitter(jitter);
        for (jitter, least, most) in [
            (Jitter::Full, 0, 1_000),
            (Jitter::Equal, 500, 1_000),
            (Jitter::Proportional(0.1), 900, 1_100),
            (Jitter::Proportional(1.0), 0, 2_000),
            (Jitter::None, 1_000, 1_000),
        ] {
            assert_eq!(with(jitter).delay(1, 0.0), MILLI * least, "{jitter:?}");
            assert_eq!(with(jitter).delay(1, 1.0), MILLI * most, "{jitter:?}");
            for random in RANDOMS {
                let delay = with(jitter).delay(1, random);
                assert!(
                    (MILLI * least..=MILLI * most).contains(&delay),
                    "{jitter:?} {random}: {delay:?}"
                );
            }
        }
    }

    #[test]
    fn no_input_gives_more_than_the_maximum_or_a_panic() {
        let durations = [Duration::ZERO, Duration::from_nanos(1), SECOND, Duration::MAX];
        let numbers = [
            0.0,
            -0.0,
            0.5,
            1.0,
            1.5,
            1e300,
            -3.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
        ];
        let jitters = numbers
            .map(Jitter::Proportional)
            .into_iter()
            .chain([Jitter::Full, Jitter::Equal, Jitter::None]);
        for jitter in jitters {
            for initial in durations {
                for maximum in durations {
                    for multiplier in numbers {
                        for attempt in [0, 1, 2, 33, 2_000, u32::MAX] {
                            for random in RANDOMS {
                                let backoff = Backoff {
                                    initial,
                                    maximum,
                                    multiplier,
                                    jitter,
                                };
                                let delay = backoff.delay(attempt, random);
                                assert!(delay <= maximum, "{backoff:?} {attempt} {random}: {delay:?}");
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(
            Backoff::new(Duration::ZERO, Duration::MAX).delay(u32::MAX, 0.9),
            Duration::ZERO,
            "zero stays zero, however often it is doubled"
        );
    }

    #[test]
    fn a_wrong_value_is_named() {
        let backoff = Backoff::default;
        backoff().validate().unwrap();
        Backoff::fixed(Duration::ZERO).validate().unwrap();
        for (field, backoff) in [
            ("maximum", Backoff::new(SECOND * 2, SECOND)),
            ("multiplier", backoff().with_multiplier(0.9)),
            ("multiplier", backoff().with_multiplier(f64::NAN)),
            ("multiplier", backoff().with_multiplier(f64::INFINITY)),
            ("jitter", backoff().with_jitter(Jitter::Proportional(-0.1))),
            ("jitter", backoff().with_jitter(Jitter::Proportional(1.1))),
            ("jitter", backoff().with_jitter(Jitter::Proportional(f64::NAN))),
        ] {
            assert_eq!(backoff.validate().unwrap_err().field(), Some(field), "{backoff:?}");
        }
    }

    #[test]
    fn a_backoff_is_written_by_people() {
        let backoff: Backoff = serde_json::from_str(
            r#"{"initial": "250ms", "maximum": "1m 30s", "multiplier": 3, "jitter": {"proportional": 0.2}}"#,
        )
        .unwrap();
        let expected = Backoff::new(MILLI * 250, SECOND * 90)
            .with_multiplier(3.0)
            .with_jitter(Jitter::Proportional(0.2));
        assert_eq!(backoff, expected);
        for jitter in [Jitter::Full, Jitter::Equal, Jitter::None, Jitter::Proportional(0.5)] {
            let text = serde_json::to_string(&expected.with_jitter(jitter)).unwrap();
            assert_eq!(
                serde_json::from_str::<Backoff>(&text).unwrap(),
                expected.with_jitter(jitter),
                "{text}"
            );
        }
        assert_eq!(serde_json::from_str::<Backoff>("{}").unwrap(), Backoff::default());
        for wrong in [r#"{"initial": 5}"#, r#"{"max": "1s"}"#, r#"{"jitter": "some"}"#] {
            serde_json::from_str::<Backoff>(wrong).expect_err(wrong);
            let mut json = serde_json::Deserializer::from_str(wrong);
            Backoff::deserialize_over(expected, &mut json).expect_err(wrong);
        }
    }
}
