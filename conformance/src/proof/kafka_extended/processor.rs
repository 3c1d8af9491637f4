//! The application code that a saboteur runs in place of the given code.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt;
use networking_spi::kafka::{KafkaMessage, ProcessedRecord, StreamProcessor};
use networking_spi::{Result, Retryability};

use super::Saboteur;

/// Wraps correct code, and makes one mistake.
#[derive(Debug)]
pub(super) struct SaboteurProcessor {
    inner: Arc<dyn StreamProcessor>,
    saboteur: Saboteur,
    last: Mutex<ProcessedRecord>,
}

impl SaboteurProcessor {
    pub(super) fn new(inner: Arc<dyn StreamProcessor>, saboteur: Saboteur) -> Self {
        Self {
            inner,
            saboteur,
            last: Mutex::default(),
        }
    }
}

#[async_trait]
impl StreamProcessor for SaboteurProcessor {
    async fn process(&self, message: KafkaMessage) -> Result<ProcessedRecord> {
        if self.saboteur == Saboteur::ProcessesConcurrently {
            let inner = Arc::clone(&self.inner);
            tokio::spawn(async move { inner.process(message).await });
            return Ok(ProcessedRecord::skip());
        }
        let call = AssertUnwindSafe(self.inner.process(message)).catch_unwind();
        let result = match call.await {
            Ok(result) => result,
            Err(_) if self.saboteur == Saboteur::SwallowsPanics => return Ok(ProcessedRecord::skip()),
            Err(panic) => std::panic::resume_unwind(panic),
        };
        match (self.saboteur, result) {
            (Saboteur::SwallowsErrors, Err(_)) => Ok(ProcessedRecord::skip()),
            (Saboteur::NeverRetries, Err(error)) => Err(error.with_retryability(Retryability::Never)),
            (Saboteur::OneOutputTopic, Ok(mut record)) => {
                for output in &mut record.outputs {
                    output.topic = "".into();
                }
                Ok(record)
            }
            (Saboteur::OneBehind, Ok(record)) => {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(std::mem::replace(&mut *last, record))
            }
            (_, result) => result,
        }
    }
}
