//! Subscriptions by regular expression. The clients match the names themselves, so that both have the same syntax and need no
//! broker for it.

use networking_spi::{NetworkError, Result};
use regex::{Regex, RegexBuilder};

/// The topics of the cluster itself, which no subscription reads.
const INTERNAL: &[&str] = &[
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
    "__cluster_metadata",
];

/// The maximum size of a compiled expression, in bytes.
const MAX_SIZE: usize = 1 << 20;

/// A regular expression that whole names of topics match.
#[derive(Debug, Clone)]
pub(crate) struct TopicPattern(Regex);

impl TopicPattern {
    pub(crate) fn new(pattern: &str) -> Result<Self> {
        // Alone first: `a)(b` is valid only in the group.
        let compile = |pattern: &str| RegexBuilder::new(pattern).size_limit(MAX_SIZE).build();
        compile(pattern)
            .and_then(|_| compile(&format!("^(?:{pattern})$")))
            .map(Self)
            .map_err(|error| {
                NetworkError::invalid_input("pattern", "is not a valid regular expression").with_source(error)
            })
    }

    pub(crate) fn matches(&self, topic: &str) -> bool {
        !INTERNAL.contains(&topic) && self.0.is_match(topic)
    }
}

#[cfg(test)]
mod tests {
    use networking_spi::ErrorKind;

    use super::*;

    #[test]
    fn whole_names_match() {
        let pattern = TopicPattern::new("a.*|b").expect("valid");
        for (name, matches) in [("a", true), ("a-1", true), ("b", true), ("bb", false), ("xa", false)] {
            assert_eq!(pattern.matches(name), matches, "{name}");
        }
        let all = TopicPattern::new(".*").expect("valid");
        assert!(all.matches("__mine") && !all.matches("__consumer_offsets"));
    }

    #[test]
    fn bad_expressions_are_refused() {
        for bad in ["[", "a)(b", "(a", "*", "(?P<x", "(a{1000}){1000}"] {
            assert_eq!(TopicPattern::new(bad).expect_err(bad).kind(), ErrorKind::InvalidInput);
        }
    }
}
