//! What of a message passes an endpoint. A source and a sink have the same rules, in opposite directions.

use async_trait::async_trait;
use bytes::Bytes;
use networking_spi::bridge::BridgeMessage;

use super::Content;
use super::sample::{check_headers, check_payload, message, payloads, values};
use crate::kit::Failure;
use crate::{CaseResult, check_eq};

/// An endpoint and its peer.
#[async_trait]
pub(super) trait Passage: Sync {
    /// What the protocol of the endpoint carries.
    fn content(&self) -> &Content;

    /// Passes a message from its sender to its receiver, and returns what arrives.
    async fn pass(&self, message: BridgeMessage) -> Result<BridgeMessage, Failure>;
}

pub(super) async fn payloads_pass(scene: &impl Passage) -> CaseResult {
    for (index, payload) in payloads(scene.content()).into_iter().enumerate() {
        let mut sent = message(&index.to_string());
        sent.payload = payload.clone();
        check_payload(&payload, &scene.pass(sent).await?.payload)?;
    }
    Ok(())
}

pub(super) async fn keys_pass(scene: &impl Passage) -> CaseResult {
    let keys = values(scene.content().key).into_iter().map(Some).chain([None]);
    for (index, key) in keys.enumerate() {
        let mut sent = message(&index.to_string());
        sent.key.clone_from(&key);
        check_eq!(scene.pass(sent).await?.key, key, "the key");
    }
    Ok(())
}

pub(super) async fn headers_pass(scene: &impl Passage, fields: Vec<(String, Bytes)>) -> CaseResult {
    let mut sent = message("1");
    sent.headers.clone_from(&fields);
    let arrived = scene.pass(sent).await?;
    check_headers(scene.content(), &fields, &arrived.headers)
}

pub(super) async fn content_types_pass(scene: &impl Passage, types: &[Option<&str>]) -> CaseResult {
    for (index, content_type) in types.iter().enumerate() {
        let mut sent = message(&index.to_string());
        sent.content_type = content_type.map(str::to_owned);
        let arrived = scene.pass(sent).await?;
        check_eq!(arrived.content_type.as_deref(), *content_type, "the content type");
    }
    Ok(())
}
