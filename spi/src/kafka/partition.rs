//! The partition of a key, as Kafka's Java client chooses it.

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;
const SHIFT: u32 = 24;

/// The partition of a key among `partitions`: [`murmur2`] of the key, with the sign bit cleared, modulo the number of
/// partitions. Kafka's Java client chooses the same one for a record with a key and without a partition (its built-in
/// partitioner and the older `DefaultPartitioner`). Returns 0 if `partitions` is 0 or less.
///
/// ```
/// use networking_spi::kafka::partition_of_key;
/// assert_eq!(partition_of_key(b"21", 7), 3);
/// assert_eq!(partition_of_key(b"21", 1), 0);
/// ```
pub fn partition_of_key(key: &[u8], partitions: i32) -> i32 {
    // The mask clears the sign bit, so the cast is exact.
    let positive = (murmur2(key) & 0x7fff_ffff).cast_signed();
    positive.checked_rem(partitions.max(0)).unwrap_or(0)
}

/// 32-bit murmur2 with the seed of Kafka's Java client, as in `org.apache.kafka.common.utils.Utils.murmur2`. The Java method
/// returns the same bits as a signed integer.
///
/// Not a cryptographic hash: anybody can choose keys of one partition.
///
/// ```
/// use networking_spi::kafka::murmur2;
/// assert_eq!(murmur2(b"21").cast_signed(), -973_932_308);
/// ```
pub fn murmur2(data: &[u8]) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "the length enters the hash modulo 2^32")]
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut mixed = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> SHIFT;
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed.wrapping_mul(MULTIPLIER);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of Kafka's own `UtilsTest.testMurmur2`, with the values that the Java client computes.
    #[test]
    fn murmur2_returns_the_values_of_the_java_client() {
        let vectors: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, expected) in vectors {
            assert_eq!(murmur2(key).cast_signed(), expected, "{}", String::from_utf8_lossy(key));
        }
    }

    /// Computed with `kafka-clients` 4.1.1: every remainder of the length by 4, and bytes from 0x80, which Java reads as negative
    /// numbers.
    #[test]
    fn murmur2_reads_bytes_as_the_java_client() {
        let vectors: [(&[u8], i32, i32); 9] = [
            (b"", 275_646_681, 9),
            (&[0], 375_494_588, 8),
            (&[0xff], -311_467_685, 3),
            (&[0xff, 0x80], -442_788_720, 8),
            (&[0xff, 0x80, 0xfe], 957_058_525, 1),
            (&[0xff, 0x80, 0xfe, 0x81], -1_333_559_100, 8),
            (&[0xff, 0x80, 0xfe, 0x81, 0x7f], 609_380_076, 0),
            (b"customer-7", -1_283_830_537, 7),
            ("\u{fc}n\u{ef}code \u{2713}".as_bytes(), 1_435_552_901, 5),
        ];
        for (key, expected, among_12) in vectors {
            assert_eq!(murmur2(key).cast_signed(), expected, "{key:?}");
            assert_eq!(partition_of_key(key, 12), among_12, "{key:?}");
        }
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(murmur2(&all).cast_signed(), -1_948_347_274);
        let long: Vec<u8> = (0..1003_u32).map(|index| (index * 7).to_le_bytes()[0]).collect();
        assert_eq!(murmur2(&long).cast_signed(), -1_017_971_925);
    }

    #[test]
    fn the_partition_ignores_the_sign_of_the_hash() {
        assert_eq!(
            partition_of_key(b"foobar", 7),
            (murmur2(b"foobar") << 1 >> 1).cast_signed() % 7
        );
        assert_eq!(partition_of_key(b"", 1), 0);
        assert_eq!(partition_of_key(b"abc", 0), 0);
        assert_eq!(partition_of_key(b"abc", -3), 0);
        assert_eq!(partition_of_key(b"abc", i32::MAX), 479_470_107);
    }
}
