//! What of a message arrives.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use networking_spi::validate::Validate;

use super::super::sample::{check_headers, check_payload, headers, message, payloads, values};
use super::Dyn;
use super::scene::Scene;
use crate::{CaseResult, check, check_eq};

pub(super) async fn payloads_arrive_byte_for_byte(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    for (index, payload) in payloads(&scene.profile.content).into_iter().enumerate() {
        let mut sent = message(&index.to_string());
        sent.payload = payload.clone();
        check_payload(&payload, &scene.pass(sent).await?.payload)?;
    }
    Ok(())
}

pub(super) async fn keys_arrive_byte_for_byte(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let keys = values(scene.profile.content.key).into_iter().map(Some).chain([None]);
    for (index, key) in keys.enumerate() {
        let mut sent = message(&index.to_string());
        sent.key.clone_from(&key);
        check_eq!(scene.pass(sent).await?.key, key, "the key");
    }
    Ok(())
}

pub(super) async fn header_fields_arrive_byte_for_byte(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let fields = headers(&scene.profile.content);
    let mut sent = message("1");
    sent.headers.clone_from(&fields);
    let arrived = scene.pass(sent).await?;
    check_headers(&scene.profile.content, &fields, &arrived.headers)
}

pub(super) async fn content_types_arrive(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let types = [Some("application/json"), Some("text/plain; charset=utf-8"), None];
    for (index, content_type) in types.into_iter().enumerate() {
        let mut sent = message(&index.to_string());
        sent.content_type = content_type.map(str::to_owned);
        let arrived = scene.pass(sent).await?;
        check_eq!(arrived.content_type.as_deref(), content_type, "the content type");
    }
    Ok(())
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
