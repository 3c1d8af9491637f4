//! What of a message arrives.

use std::sync::Arc;

use super::super::sample::{check_headers, check_payload, headers, message, payloads, values};
use super::Dyn;
use super::scene::Scene;
use crate::{CaseResult, check_eq};

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
    let mut fields = headers(&scene.profile.content);
    for (name, _) in &mut fields {
        // A sink gets the names in lower case.
        name.make_ascii_lowercase();
    }
    let mut sent = message("1");
    sent.headers.clone_from(&fields);
    let arrived = scene.pass(sent).await?;
    check_headers(&scene.profile.content, &fields, &arrived.headers)
}

pub(super) async fn content_types_arrive(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    for (index, content_type) in ["application/json", "text/plain; charset=utf-8"]
        .into_iter()
        .enumerate()
    {
        let sent = message(&index.to_string()).with_content_type(content_type);
        let arrived = scene.pass(sent).await?;
        check_eq!(arrived.content_type.as_deref(), Some(content_type), "the content type");
    }
    Ok(())
}

pub(super) async fn ids_arrive(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    for text in ["1", "two/2@0"] {
        let sent = message(text);
        let expected = sent.id.clone();
        check_eq!(scene.pass(sent).await?.id, expected, "the id");
    }
    Ok(())
}
