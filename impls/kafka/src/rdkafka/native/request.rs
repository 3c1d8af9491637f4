//! Requests of the administration API. All block.

use std::ffi::{c_char, c_int};
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaRespErr;

use c::rd_kafka_admin_op_t as Operation;

use super::object::{ErrorBuffer, Owned};
use super::refusal::{Refusal, Result, check};

/// How long librdkafka may exceed the timeout of a request.
const GRACE: Duration = Duration::from_secs(1);

/// Where a request is sent from, with what, and where its result goes.
pub(super) struct Sender {
    pub(super) client: *mut c::rd_kafka_t,
    pub(super) options: *mut c::rd_kafka_AdminOptions_t,
    pub(super) queue: *mut c::rd_kafka_queue_t,
}

/// Sends a request with `send` and waits for its result, for at most about `limit`. The pointers that `send` gets are valid
/// during the call.
pub(super) fn request<C: ClientContext>(
    client: &Client<C>,
    operation: Operation,
    limit: Duration,
    send: impl FnOnce(&Sender),
) -> Result<Owned<c::rd_kafka_event_t>> {
    request_of(client, operation, None, limit, send)
}

/// Like [`request`], but the request is sent to this broker, and not to the one that librdkafka chooses.
pub(super) fn request_of<C: ClientContext>(
    client: &Client<C>,
    operation: Operation,
    broker: Option<i32>,
    limit: Duration,
    send: impl FnOnce(&Sender),
) -> Result<Owned<c::rd_kafka_event_t>> {
    let client = client.native_ptr();
    // SAFETY: the client is borrowed.
    let options = unsafe { c::rd_kafka_AdminOptions_new(client, operation) };
    let options = Owned::new(options, c::rd_kafka_AdminOptions_destroy).ok_or_else(Refusal::failed)?;
    // SAFETY: the client is borrowed.
    let queue = unsafe { c::rd_kafka_queue_new(client) };
    let queue = Owned::new(queue, c::rd_kafka_queue_destroy).ok_or_else(Refusal::failed)?;
    let time = millis(limit);
    set(&options, c::rd_kafka_AdminOptions_set_request_timeout, time)?;
    if waits_for_effect(operation) {
        set(&options, c::rd_kafka_AdminOptions_set_operation_timeout, time)?;
    }
    if let Some(broker) = broker {
        set(&options, c::rd_kafka_AdminOptions_set_broker, broker)?;
    }
    send(&Sender {
        client,
        options: options.pointer(),
        queue: queue.pointer(),
    });
    // SAFETY: the queue is owned.
    let event = unsafe { c::rd_kafka_queue_poll(queue.pointer(), millis(limit.saturating_add(GRACE))) };
    let event = Owned::new(event, c::rd_kafka_event_destroy).ok_or_else(Refusal::timed_out)?;
    // SAFETY: the event is owned, and the reason lives as long.
    unsafe {
        check(
            c::rd_kafka_event_error(event.pointer()),
            c::rd_kafka_event_error_string(event.pointer()),
        )?;
    }
    Ok(event)
}

/// The result in the answer to a request, which `read` reads. It lives as long as the event.
pub(super) fn result<T>(
    event: &Owned<c::rd_kafka_event_t>,
    read: unsafe extern "C" fn(*mut c::rd_kafka_event_t) -> *const T,
) -> Result<*const T> {
    // SAFETY: the event is owned. For an event with another result, the pointer is null.
    let result = unsafe { read(event.pointer()) };
    if result.is_null() {
        Err(Refusal::timed_out())
    } else {
        Ok(result)
    }
}

type SetOption = unsafe extern "C" fn(*mut c::rd_kafka_AdminOptions_t, c_int, *mut c_char, usize) -> RDKafkaRespErr;

fn set(options: &Owned<c::rd_kafka_AdminOptions_t>, option: SetOption, value: c_int) -> Result<()> {
    let mut reason = ErrorBuffer::new();
    // SAFETY: the options are owned, and the buffer has the length that is passed.
    let code = unsafe { option(options.pointer(), value, reason.pointer(), reason.length()) };
    Refusal::new(code, Some(reason.text()))
}

/// Whether the broker waits until the change has taken effect.
fn waits_for_effect(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::RD_KAFKA_ADMIN_OP_CREATETOPICS
            | Operation::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS
            | Operation::RD_KAFKA_ADMIN_OP_DELETERECORDS
    )
}

fn millis(duration: Duration) -> c_int {
    /// The largest timeout that librdkafka accepts.
    const LARGEST: c_int = 3_600_000;
    c_int::try_from(duration.as_millis()).map_or(LARGEST, |millis| millis.clamp(1, LARGEST))
}
