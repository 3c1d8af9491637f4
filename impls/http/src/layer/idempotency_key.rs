//! Idempotency keys, by which a server recognizes a repeated request.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::HeaderValue;

/// Generates unique keys.
#[derive(Debug)]
pub(super) struct KeyMaker {
    /// A hash function with a random key from the operating system.
    secret: RandomState,
    made: AtomicU64,
}

impl KeyMaker {
    pub(super) fn new() -> Self {
        Self {
            secret: RandomState::new(),
            made: AtomicU64::new(0),
        }
    }

    /// A new key in the form of a random UUID (RFC 9562), which some servers require.
    pub(super) fn make(&self) -> HeaderValue {
        let number = self.made.fetch_add(1, Relaxed);
        let half = |which: u8| u128::from(self.secret.hash_one((number, which)));
        let bits = half(0) << 64 | half(1);
        let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let hex = format!("{bits:032x}");
        let key = format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        );
        HeaderValue::from_str(&key).unwrap_or_else(|_| unreachable!("hexadecimal digits and dashes"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_are_random_uuids() {
        let makers = [KeyMaker::new(), KeyMaker::new()];
        let keys: HashSet<HeaderValue> = makers.iter().flat_map(|maker| (0..500).map(|_| maker.make())).collect();
        assert_eq!(keys.len(), 1_000);
        for key in keys {
            let key = key.to_str().unwrap().to_owned();
            let parts: Vec<usize> = key.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12], "{key}");
            assert_eq!(key.as_bytes()[14], b'4', "{key}");
            assert!(b"89ab".contains(&key.as_bytes()[19]), "{key}");
        }
    }
}
