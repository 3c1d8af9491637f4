//! The open time of a circuit.

use std::time::Duration;

use networking_spi::circuit_breaker::OpenPolicy;

/// How long the circuit stays open, after `reopenings` earlier openings since the last recovery: the delay of the policy's
/// backoff, but at least `requested` (the time that the dependency asked for), and at most the maximum of the backoff.
pub(super) fn open_time(
    policy: &OpenPolicy,
    reopenings: u32,
    requested: Option<Duration>,
    rng: &mut fastrand::Rng,
) -> Duration {
    let computed = policy.backoff.delay(reopenings.saturating_add(1), rng.f64());
    computed.max(requested.unwrap_or_default()).min(policy.backoff.maximum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(multiplier: f64, jitter: f64) -> OpenPolicy {
        OpenPolicy::fixed(Duration::from_secs(1))
            .with_multiplier(multiplier)
            .with_max_duration(Duration::from_secs(60))
            .with_jitter(jitter)
    }

    #[test]
    fn grows_up_to_the_cap() {
        let mut rng = fastrand::Rng::with_seed(1);
        let times: Vec<_> = (0..8)
            .map(|n| open_time(&policy(2.0, 0.0), n, None, &mut rng).as_secs())
            .collect();
        assert_eq!(times, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(open_time(&policy(2.0, 0.0), u32::MAX, None, &mut rng).as_secs(), 60);
    }

    #[test]
    fn a_fixed_time_is_exact() {
        let mut rng = fastrand::Rng::with_seed(1);
        for nanos in [1, 99, 100_000_001, 123_456_789_012] {
            let fixed = OpenPolicy::fixed(Duration::from_nanos(nanos));
            assert_eq!(open_time(&fixed, 7, None, &mut rng), Duration::from_nanos(nanos));
        }
        assert_eq!(
            open_time(&OpenPolicy::fixed(Duration::MAX), 7, None, &mut rng),
            Duration::MAX
        );
    }

    #[test]
    fn jitter_stays_in_its_range_and_under_the_cap() {
        let mut rng = fastrand::Rng::with_seed(7);
        let times: Vec<_> = (0..1_000)
            .map(|_| open_time(&policy(2.0, 0.1), 0, None, &mut rng))
            .collect();
        let (shortest, longest) = (times.iter().min().copied(), times.iter().max().copied());
        assert!(shortest >= Some(Duration::from_millis(900)) && shortest < Some(Duration::from_millis(920)));
        assert!(longest <= Some(Duration::from_millis(1_100)) && longest > Some(Duration::from_millis(1_080)));
        for _ in 0..1_000 {
            assert!(open_time(&policy(2.0, 1.0), 9, None, &mut rng) <= Duration::from_secs(60));
        }
    }

    #[test]
    fn a_requested_time_lengthens_the_open_time_up_to_the_cap() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut with =
            |requested| open_time(&policy(1.0, 0.0), 0, Some(Duration::from_secs(requested)), &mut rng).as_secs();
        assert_eq!([with(0), with(1), with(20), with(3_600)], [1, 1, 20, 60]);
    }
}
