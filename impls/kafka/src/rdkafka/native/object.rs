//! Objects, strings and lists of librdkafka.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::slice;

use networking_spi::kafka::TopicPartition;
use rdkafka::bindings as c;

use super::refusal::{Refusal, Result};

/// An object of librdkafka that is destroyed when this is dropped.
pub(super) struct Owned<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// `None` for null.
    pub(super) fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self { pointer, destroy })
    }

    pub(super) fn pointer(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the object is owned, `destroy` is the function for its type, and it is called once.
        unsafe { (self.destroy)(self.pointer.as_ptr()) }
    }
}

/// Where librdkafka writes the reason of an error.
pub(super) struct ErrorBuffer([u8; 512]);

impl ErrorBuffer {
    pub(super) fn new() -> Self {
        Self([0; 512])
    }

    pub(super) fn pointer(&mut self) -> *mut c_char {
        self.0.as_mut_ptr().cast()
    }

    pub(super) fn length(&self) -> usize {
        self.0.len()
    }

    pub(super) fn text(&self) -> String {
        CStr::from_bytes_until_nul(&self.0)
            .map(|reason| reason.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

pub(super) fn string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Refusal::invalid("must not contain a NUL character"))
}

/// # Safety
/// `string` must be null or a string of C that lives for `'a`.
pub(super) unsafe fn text<'a>(string: *const c_char) -> Option<Cow<'a, str>> {
    // SAFETY: of the caller.
    (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) }.to_string_lossy())
}

/// # Safety
/// `first` must be null or point to `count` elements that live for `'a`.
pub(super) unsafe fn elements<'a, T>(first: *mut T, count: usize) -> &'a [T] {
    if first.is_null() {
        &[]
    } else {
        // SAFETY: of the caller.
        unsafe { slice::from_raw_parts(first, count) }
    }
}

/// # Safety
/// `list` must be null or point to a list that lives for `'a`.
pub(super) unsafe fn partitions<'a>(
    list: *const c::rd_kafka_topic_partition_list_t,
) -> &'a [c::rd_kafka_topic_partition_t] {
    // SAFETY: of the caller.
    match unsafe { list.as_ref() } {
        // SAFETY: a list has `cnt` elements.
        Some(list) => unsafe { elements(list.elems, usize::try_from(list.cnt).unwrap_or_default()) },
        None => &[],
    }
}

/// # Safety
/// The topic of the element must be a string of C.
pub(super) unsafe fn partition(element: &c::rd_kafka_topic_partition_t) -> TopicPartition {
    // SAFETY: of the caller.
    TopicPartition::new(&*unsafe { text(element.topic) }.unwrap_or_default(), element.partition)
}
