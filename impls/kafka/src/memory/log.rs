//! The records of one partition.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use networking_spi::kafka::{KafkaHeaders, KafkaMessage, TopicName};

use super::mark::Mark;
use crate::record_size::record_size;

/// Records per segment. A log grows by segments, so that appending never moves stored records.
const SEGMENT: usize = 1024;

/// A stored record. Its topic, partition and offset are determined by where it is stored.
#[derive(Debug, Default)]
pub(super) struct StoredRecord {
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: KafkaHeaders,
    pub(super) timestamp_millis: u64,
    pub(super) transaction: Option<Arc<Mark>>,
    /// Whether it only marks the end of a transaction. It has an offset, but no consumer reads it.
    pub(super) is_control: bool,
}

impl StoredRecord {
    pub(super) fn size(&self) -> usize {
        record_size(self.key.as_ref(), self.value.as_ref(), &self.headers)
    }

    fn is_aborted(&self) -> bool {
        self.transaction.as_ref().is_some_and(|mark| mark.is_aborted())
    }
}

/// The limits of a partition: number, bytes and age of its records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retention {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) age: Option<Duration>,
}

/// An append-only log that drops the oldest records beyond its retention.
#[derive(Debug)]
pub(super) struct Log {
    segments: VecDeque<Vec<StoredRecord>>,
    /// Offset of the first slot of the first segment.
    base: i64,
    start: i64,
    end: i64,
    bytes: u64,
    retention: Retention,
    /// The open transactions, each with the offset of its first record, in order.
    open: Vec<(i64, Arc<Mark>)>,
}

impl Log {
    pub(super) fn new(retention: Retention) -> Self {
        Self {
            segments: VecDeque::new(),
            base: 0,
            start: 0,
            end: 0,
            bytes: 0,
            retention,
            open: Vec::new(),
        }
    }

    /// The first offset that can be read.
    pub(super) const fn start(&self) -> i64 {
        self.start
    }

    /// The offset of the next record to be appended.
    pub(super) const fn end(&self) -> i64 {
        self.end
    }

    /// The last stable offset: that of the first record of an open transaction, or the end.
    pub(super) fn last_stable(&self) -> i64 {
        let first = self.open.iter().find(|(_, mark)| mark.is_open());
        first.map_or(self.end, |(offset, _)| (*offset).max(self.start))
    }

    /// Whether no consumer can read a message at or after this offset.
    pub(super) fn has_only_control_records(&self, from: i64) -> bool {
        (from.max(self.start)..self.end).all(|offset| {
            let (segment, slot) = self.locate(offset);
            self.segments[segment][slot].is_control
        })
    }

    /// Appends a record and returns its offset.
    pub(super) fn append(&mut self, record: StoredRecord) -> i64 {
        self.bytes += record.size() as u64;
        if let Some(mark) = &record.transaction {
            self.open.retain(|(_, mark)| mark.is_open());
            if mark.is_open() && !self.open.iter().any(|(_, known)| Arc::ptr_eq(known, mark)) {
                self.open.push((self.end, Arc::clone(mark)));
            }
        }
        match self.segments.back_mut() {
            Some(segment) if segment.len() < SEGMENT => segment.push(record),
            _ => {
                let mut segment = Vec::with_capacity(SEGMENT);
                segment.push(record);
                self.segments.push_back(segment);
            }
        }
        let offset = self.end;
        self.end += 1;
        while self.kept() > self.retention.records || (self.bytes > self.retention.bytes && self.kept() > 1) {
            self.drop_first();
        }
        offset
    }

    /// Drops records that are older than the age limit.
    pub(super) fn expire(&mut self, now: SystemTime) {
        let Some(age) = self.retention.age else { return };
        let limit = now.checked_sub(age).map_or(0, millis);
        while self.start < self.end && self.first_timestamp() < limit {
            self.drop_first();
        }
    }

    /// Drops the records before an offset, which must not be after the end.
    pub(super) fn delete_before(&mut self, offset: i64) {
        while self.start < offset.min(self.end) {
            self.drop_first();
        }
    }

    /// Replaces the limits. Records beyond them are dropped by the next append or [`expire`](Self::expire).
    pub(super) fn set_retention(&mut self, retention: Retention) {
        self.retention = retention;
    }

    /// The first record whose timestamp is `millis` or later.
    pub(super) fn first_since(&self, millis: u64) -> Option<i64> {
        (self.start..self.end).find(|offset| {
            let (segment, slot) = self.locate(*offset);
            self.segments[segment][slot].timestamp_millis >= millis
        })
    }

    /// Whether retention limits the age of records.
    pub(super) const fn has_age_limit(&self) -> bool {
        self.retention.age.is_some()
    }

    /// Reads the messages of up to `max` offsets from `from` into `out`, and returns the next offset to read. `from` must not be
    /// before the start. With `committed`, only records of committed transactions and of none are read.
    pub(super) fn read(
        &self,
        from: i64,
        max: usize,
        committed: bool,
        (topic, partition): (&TopicName, i32),
        out: &mut Vec<KafkaMessage>,
    ) -> i64 {
        let mut offset = from;
        let end = if committed { self.last_stable() } else { self.end };
        let until = end.min(from.saturating_add(i64::try_from(max).unwrap_or(i64::MAX)));
        while offset < until {
            let (segment, slot) = self.locate(offset);
            let available = self.segments[segment].len() - slot;
            let wanted = usize::try_from(until - offset).unwrap_or(usize::MAX).min(available);
            for record in &self.segments[segment][slot..slot + wanted] {
                if record.is_control || (committed && record.is_aborted()) {
                    offset += 1;
                    continue;
                }
                let mut message = KafkaMessage::new(topic, partition, offset);
                message.key.clone_from(&record.key);
                message.value.clone_from(&record.value);
                message.headers.clone_from(&record.headers);
                message.timestamp = Some(time_of(record.timestamp_millis));
                out.push(message);
                offset += 1;
            }
        }
        offset
    }

    fn kept(&self) -> u64 {
        (self.end - self.start).cast_unsigned()
    }

    fn locate(&self, offset: i64) -> (usize, usize) {
        let index = usize::try_from(offset - self.base).expect("no offset before the start is read");
        (index / SEGMENT, index % SEGMENT)
    }

    fn first_timestamp(&self) -> u64 {
        let (segment, slot) = self.locate(self.start);
        self.segments[segment][slot].timestamp_millis
    }

    fn drop_first(&mut self) {
        let (segment, slot) = self.locate(self.start);
        let record = std::mem::take(&mut self.segments[segment][slot]);
        self.bytes -= record.size() as u64;
        self.start += 1;
        if slot + 1 == SEGMENT {
            self.segments.pop_front();
            self.base = self.start;
        }
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z; 0 for earlier times.
pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time `millis` milliseconds after 1970-01-01T00:00:00Z.
pub(super) fn time_of(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::super::mark::Outcome;
    use super::*;

    fn log(records: u64, bytes: u64, age: Option<Duration>) -> Log {
        Log::new(Retention { records, bytes, age })
    }

    fn record(value: &'static [u8], timestamp_millis: u64) -> StoredRecord {
        StoredRecord {
            value: Some(Bytes::from_static(value)),
            timestamp_millis,
            ..StoredRecord::default()
        }
    }

    #[test]
    fn reading_crosses_segments_and_stops_at_the_end() {
        let mut log = log(10_000, 1_000_000, None);
        for expected in 0..3000 {
            assert_eq!(log.append(record(b"x", 0)), expected);
        }
        let mut out = Vec::new();
        assert_eq!(log.read(1000, 5000, false, (&"t".into(), 0), &mut out), 3000);
        assert_eq!(out.len(), 2000);
        assert!(out.iter().zip(1000..).all(|(message, offset)| message.offset == offset));
    }

    #[test]
    fn the_record_limit_moves_the_start() {
        let mut log = log(1500, 1_000_000, None);
        for _ in 0..4000 {
            log.append(record(b"x", 0));
        }
        assert_eq!((log.start(), log.end()), (2500, 4000));
        let mut out = Vec::new();
        log.read(log.start(), 10, false, (&"t".into(), 0), &mut out);
        assert_eq!(out[0].offset, 2500);
        assert!(log.segments.len() <= 3, "dropped segments are freed");
    }

    #[test]
    fn the_byte_limit_keeps_at_least_the_newest_record() {
        let mut log = log(100, 10, None);
        log.append(record(b"12345", 0));
        log.append(record(b"12345", 0));
        assert_eq!(log.start(), 0);
        log.append(record(b"1", 0));
        assert_eq!(log.start(), 1);
        log.append(record(b"longer than the limit", 0));
        assert_eq!((log.start(), log.end()), (3, 4));
    }

    #[test]
    fn records_older_than_the_limit_are_dropped() {
        let mut log = log(100, 100, Some(Duration::from_secs(1)));
        log.append(record(b"a", 1000));
        log.append(record(b"b", 3000));
        log.expire(time_of(2000));
        assert_eq!(log.start(), 0, "exactly as old as allowed");
        log.expire(time_of(2001));
        assert_eq!(log.start(), 1);
        log.expire(time_of(9000));
        assert_eq!((log.start(), log.end()), (2, 2), "an empty log keeps its end");
    }

    #[test]
    fn an_open_transaction_bounds_what_is_stable_until_it_ends_or_is_dropped() {
        let mut log = log(3, 1_000_000, None);
        let of = |mark: &Arc<Mark>| StoredRecord {
            transaction: Some(Arc::clone(mark)),
            ..record(b"x", 0)
        };
        let (first, second) = (Arc::<Mark>::default(), Arc::<Mark>::default());
        log.append(of(&first));
        log.append(of(&second));
        assert_eq!(log.last_stable(), 0);
        first.end(Outcome::Aborted);
        assert_eq!(log.last_stable(), 1);
        let mut out = Vec::new();
        assert_eq!(log.read(0, 10, true, (&"t".into(), 0), &mut out), 1);
        assert!(out.is_empty(), "the record of an aborted transaction is not read");
        assert_eq!(log.read(0, 10, false, (&"t".into(), 0), &mut out), 2);
        assert_eq!(out.len(), 2);
        for _ in 0..3 {
            log.append(record(b"later", 0));
        }
        assert_eq!(
            (log.start(), log.last_stable()),
            (2, 2),
            "retention has dropped its first record"
        );
        second.end(Outcome::Committed);
        assert_eq!(log.last_stable(), 5);
        let mut end = of(&second);
        end.is_control = true;
        log.append(end);
        assert!(log.has_only_control_records(5) && !log.has_only_control_records(4));
        assert_eq!(log.last_stable(), 6);
    }

    #[test]
    fn times_before_1970_count_as_1970() {
        assert_eq!(millis(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(millis(time_of(1234)), 1234);
    }
}
