//! What of a message arrives.

use std::sync::Arc;

use super::super::content::{self, Passage};
use super::super::sample::{headers, message};
use super::Dyn;
use super::scene::Scene;
use crate::{CaseResult, check_eq};

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
    let mut fields = headers(scene.content());
    for (name, _) in &mut fields {
        // A sink gets the names in lower case.
        name.make_ascii_lowercase();
    }
    content::headers_pass(&scene, fields).await
}

pub(super) async fn content_types_arrive(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let types = [Some("application/json"), Some("text/plain; charset=utf-8")];
    content::content_types_pass(&scene, &types).await
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
