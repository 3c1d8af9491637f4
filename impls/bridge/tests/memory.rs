//! The endpoints in memory.

use std::sync::Arc;

use futures_util::FutureExt;
use networking_bridge::{MemoryEnds, MemorySource};
use networking_spi::bridge::{BridgeReceipt, BridgeSink, BridgeSource, Disposition};
use networking_spi::{ErrorKind, NetworkError};

fn failure() -> NetworkError {
    NetworkError::new(ErrorKind::ConnectionClosed, "test", "lost")
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_stop_is_closed() {
    let source = MemorySource::new(4);
    source.start().await.unwrap();
    source.stop().await.unwrap();
    // `receive` was not called since.
    assert_eq!(source.fail(failure()).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(source.send("late").await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(source.receive().await.unwrap().is_none());
    assert_eq!(source.fail(failure()).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_calls_that_wait_for_room() {
    let source = Arc::new(MemorySource::new(1));
    source.start().await.unwrap();
    let sending = [0, 1].map(|_| {
        let source = Arc::clone(&source);
        tokio::spawn(async move { source.send("message").await })
    });
    tokio::task::yield_now().await;
    let mut failing = Box::pin(source.fail(failure()));
    assert!((&mut failing).now_or_never().is_none(), "the queue is full");
    source.stop().await.unwrap();
    assert_eq!(failing.await.unwrap_err().kind(), ErrorKind::Closed);
    let queued = source.receive().await.unwrap().expect("the message that was queued");
    let id = queued.message().unwrap().id.clone();
    queued.acknowledge(BridgeReceipt::new(id, Disposition::Delivered, "events"));
    assert!(source.receive().await.unwrap().is_none());
    let [first, second] = sending;
    first.await.unwrap().unwrap();
    assert_eq!(second.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_failure_has_no_effect() {
    let source = MemorySource::new(1);
    source.start().await.unwrap();
    source.fail(failure()).await.unwrap();
    assert!(source.fail(failure()).now_or_never().is_none(), "the queue is full");
    source.receive().await.unwrap_err();
    assert!(
        source.receive().now_or_never().is_none(),
        "the second failure was dropped"
    );
}

#[tokio::test]
async fn both_ends_are_made_at_once() {
    let ends = MemoryEnds::new(2);
    ends.sink.start().await.unwrap();
    assert_eq!(ends.clone().sink.messages(), []);
    assert_eq!(ends.source.protocol(), ends.sink.protocol());
}
