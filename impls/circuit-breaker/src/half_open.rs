//! The probes of a half-open circuit.

/// The probes in flight, each with a lease, and the number of successful ones.
#[derive(Debug, Default)]
pub(super) struct HalfOpen {
    /// In the order of admission. At most as many as the policy allows, so a linear scan is fast.
    probes: Vec<Probe>,
    successes: u32,
}

#[derive(Debug)]
struct Probe {
    id: u64,
    lease_ends: u64,
}

impl HalfOpen {
    /// Admits the probe `id`, unless there are `max` probes whose lease has not ended.
    pub(super) fn admit(&mut self, id: u64, now: u64, lease_ends: u64, max: u32) -> bool {
        self.probes.retain(|probe| probe.lease_ends > now);
        if self.probes.len() >= max as usize {
            return false;
        }
        self.probes.push(Probe { id, lease_ends });
        true
    }

    /// Frees the slot of the probe `id`. Returns `false` if its lease has ended: its result is then too late.
    pub(super) fn release(&mut self, id: u64, now: u64) -> bool {
        let Some(position) = self.probes.iter().position(|probe| probe.id == id) else {
            return false;
        };
        self.probes.swap_remove(position).lease_ends > now
    }

    /// Counts a successful probe and returns the number of successful ones.
    pub(super) fn succeed(&mut self) -> u32 {
        self.successes += 1;
        self.successes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_bounded_and_reused() {
        let mut half_open = HalfOpen::default();
        assert!(half_open.admit(1, 0, 100, 2));
        assert!(half_open.admit(2, 0, 100, 2));
        assert!(!half_open.admit(3, 0, 100, 2));
        assert!(half_open.release(1, 10));
        assert!(half_open.admit(4, 10, 100, 2));
        assert!(!half_open.admit(5, 10, 100, 2));
    }

    #[test]
    fn a_lease_ends_on_time() {
        let mut half_open = HalfOpen::default();
        assert!(half_open.admit(1, 0, 100, 1));
        assert!(!half_open.admit(2, 99, 199, 1));
        assert!(half_open.admit(3, 100, 200, 1));
        assert!(
            !half_open.release(1, 100),
            "another probe has the slot of the first one"
        );
        assert!(half_open.release(3, 199));
        assert!(!half_open.release(3, 199), "a slot is freed once");
    }

    #[test]
    fn a_late_result_is_ignored_even_if_the_slot_is_free() {
        let mut half_open = HalfOpen::default();
        assert!(half_open.admit(1, 0, 100, 1));
        assert!(!half_open.release(1, 100));
    }
}
