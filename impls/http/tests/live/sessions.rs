//! httpbin: cookies, and digest authentication.

use std::sync::Arc;

use networking_conformance::{CaseResult, check_eq};
use networking_http::CookieJar;
use networking_http::layer::Credentials;
use networking_spi::http::HttpClientExt;
use serde_json::{Value, json};

use super::backend::Live;

pub(crate) async fn cookies_are_kept_and_taken_back(live: Arc<Live>) -> CaseResult {
    let jar = CookieJar::new();
    let client = live
        .builder()?
        .base_url(&live.servers().httpbin)
        .cookies(jar.clone())
        .build()?;
    // The response that sets them is a redirect.
    let shown: Value = client.get("/cookies/set?flavour=oat&size=2").await?.json().await?;
    check_eq!(
        shown["cookies"],
        json!({"flavour": "oat", "size": "2"}),
        "after the redirect"
    );
    let shown: Value = client.get("/cookies").await?.json().await?;
    check_eq!(
        shown["cookies"],
        json!({"flavour": "oat", "size": "2"}),
        "in the next request"
    );
    let shown: Value = client.get("/cookies/delete?size").await?.json().await?;
    check_eq!(shown["cookies"], json!({"flavour": "oat"}), "one was deleted");
    let shown: Value = live.httpbin()?.get("/cookies").await?.json().await?;
    check_eq!(shown["cookies"], json!({}), "a client without a jar has none");
    Ok(())
}

pub(crate) async fn digests_are_accepted(live: Arc<Live>) -> CaseResult {
    let with = |password: &str| {
        live.builder()?
            .base_url(&live.servers().httpbin)
            .credentials(Credentials::digest("ada", password)?)
            .build()
    };
    for algorithm in ["MD5", "SHA-256"] {
        let path = format!("/digest-auth/auth/ada/l0velace/{algorithm}");
        let client = with("l0velace")?;
        for round in 0..3 {
            let answer: Value = client.get(&path).await?.error_for_status()?.json().await?;
            check_eq!(answer["authenticated"], true, "{algorithm}, request {round}");
        }
        check_eq!(
            with("wrong")?.get(&path).await?.status,
            401,
            "{algorithm}, wrong password"
        );
    }
    Ok(())
}
