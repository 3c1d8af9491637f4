//! What of a message arrives.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use networking_spi::validate::Validate;

use super::super::content::{self, Passage};
use super::super::sample::{headers, message};
use super::Dyn;
use super::scene::Scene;
use crate::{CaseResult, check, check_eq};

pub(super) async fn payloads_arrive_byte_for_byte(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    content::payloads_pass(&scene).await
}

pub(super) async fn keys_arrive_byte_for_byte(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    content::keys_pass(&scene).await
}

pub(super) async fn header_fields_arrive_byte_for_byte(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    content::headers_pass(&scene, headers(scene.content())).await
}

pub(super) async fn content_types_arrive(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let types = [Some("application/json"), Some("text/plain; charset=utf-8"), None];
    content::content_types_pass(&scene, &types).await
}

pub(super) async fn ids_are_valid_and_unique(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let mut ids = HashSet::new();
    for index in 0..5 {
        let sent = message(&format!("{index}"));
        let expected = sent.id.clone();
        let arrived = scene.pass(sent).await?;
        arrived.validate()?;
        if scene.profile.content.id {
            check_eq!(arrived.id, expected, "the id of the sender");
        }
        check!(
            ids.insert(arrived.id.clone()),
            "two messages have the id {:?}",
            arrived.id
        );
        check_eq!(arrived.payload, Bytes::from(index.to_string()), "the payload");
    }
    Ok(())
}
