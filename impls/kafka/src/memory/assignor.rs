//! The assignment of partitions to members.

use std::collections::{BTreeMap, HashMap};

use networking_spi::kafka::TopicPartition;

/// Assigns `partitions` to the members that subscribe to their topic. The assignment is deterministic, balanced and sticky
/// (KIP-54): it moves a partition of `previous` only to a subscriber that has at least two partitions fewer than the owner.
///
/// `subscriptions` maps members, in the order in which they joined, to their topics. `previous` is the previous assignment.
pub(super) fn assign(
    subscriptions: &BTreeMap<u64, &[String]>,
    partitions: &[TopicPartition],
    previous: &HashMap<TopicPartition, u64>,
) -> HashMap<TopicPartition, u64> {
    let mut load: BTreeMap<u64, usize> = subscriptions.keys().map(|member| (*member, 0)).collect();
    let mut candidates = HashMap::<&str, Vec<u64>>::new();
    for (member, topics) in subscriptions {
        for topic in *topics {
            candidates.entry(topic).or_default().push(*member);
        }
    }
    let subscribers = |topic: &str| candidates.get(topic).map_or(&[][..], Vec::as_slice);

    let mut owners = HashMap::with_capacity(partitions.len());
    let (kept, free): (Vec<_>, Vec<_>) = partitions.iter().partition(|partition| {
        previous
            .get(*partition)
            .is_some_and(|member| subscribers(&partition.topic).contains(member))
    });
    for partition in kept {
        let owner = previous[partition];
        *load.entry(owner).or_default() += 1;
        owners.insert(partition.clone(), owner);
    }
    for partition in free {
        if let Some(owner) = least_loaded(subscribers(&partition.topic), &load) {
            *load.entry(owner).or_default() += 1;
            owners.insert(partition.clone(), owner);
        }
    }

    // Every move decreases the sum of the squared loads, so the loop ends.
    loop {
        let mut moved = false;
        for partition in partitions {
            let Some(owner) = owners.get(partition).copied() else {
                continue;
            };
            let Some(other) = least_loaded(subscribers(&partition.topic), &load) else {
                continue;
            };
            if load[&owner] >= load[&other] + 2 {
                *load.entry(owner).or_default() -= 1;
                *load.entry(other).or_default() += 1;
                owners.insert(partition.clone(), other);
                moved = true;
            }
        }
        if !moved {
            return owners;
        }
    }
}

fn least_loaded(candidates: &[u64], load: &BTreeMap<u64, usize>) -> Option<u64> {
    candidates.iter().copied().min_by_key(|member| (load[member], *member))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(topic: &str, count: i32) -> Vec<TopicPartition> {
        (0..count)
            .map(|partition| TopicPartition::new(topic, partition))
            .collect()
    }

    fn loads(owners: &HashMap<TopicPartition, u64>) -> BTreeMap<u64, usize> {
        owners.values().fold(BTreeMap::new(), |mut loads, owner| {
            *loads.entry(*owner).or_default() += 1;
            loads
        })
    }

    #[test]
    fn partitions_are_spread_evenly() {
        let topics = ["t".to_owned()];
        let members = BTreeMap::from([(1, &topics[..]), (2, &topics[..]), (3, &topics[..])]);
        let owners = assign(&members, &partitions("t", 7), &HashMap::new());
        assert_eq!(owners.len(), 7);
        assert_eq!(loads(&owners), BTreeMap::from([(1, 3), (2, 2), (3, 2)]));
    }

    #[test]
    fn a_new_member_takes_only_its_share() {
        let topics = ["t".to_owned()];
        let all = partitions("t", 6);
        let before = assign(
            &BTreeMap::from([(1, &topics[..]), (2, &topics[..])]),
            &all,
            &HashMap::new(),
        );
        let members = BTreeMap::from([(1, &topics[..]), (2, &topics[..]), (3, &topics[..])]);
        let after = assign(&members, &all, &before);
        assert_eq!(loads(&after), BTreeMap::from([(1, 2), (2, 2), (3, 2)]));
        let moved = all
            .iter()
            .filter(|partition| before[*partition] != after[*partition])
            .count();
        assert_eq!(moved, 2, "the other four partitions keep their members");
    }

    #[test]
    fn only_subscribers_of_a_topic_get_its_partitions() {
        let both = ["a".to_owned(), "b".to_owned()];
        let members = BTreeMap::from([(1, &both[..]), (2, &both[..1])]);
        let mut all = partitions("a", 2);
        all.extend(partitions("b", 2));
        all.extend(partitions("unsubscribed", 1));
        let owners = assign(&members, &all, &HashMap::new());
        assert_eq!(owners.len(), 4, "a topic without subscribers is not assigned");
        assert!(partitions("b", 2).iter().all(|partition| owners[partition] == 1));
        assert_eq!(loads(&owners), BTreeMap::from([(1, 2), (2, 2)]));
    }

    #[test]
    fn more_members_than_partitions_leave_some_idle() {
        let topics = ["t".to_owned()];
        let members = BTreeMap::from([(1, &topics[..]), (2, &topics[..])]);
        let owners = assign(&members, &partitions("t", 1), &HashMap::new());
        assert_eq!(owners, HashMap::from([(TopicPartition::new("t", 0), 1)]));
    }
}
