//! Problem details (RFC 9457).

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The machine-readable details of an error: the members of `application/problem+json` (RFC 9457, section 3). Members whose
/// value has another type than the RFC says are ignored (section 3.1).
///
/// ```
/// use networking_spi::http::ProblemDetails;
///
/// let problem: ProblemDetails = serde_json::from_str(
///     r#"{"type": "https://example.com/out-of-credit", "title": "Out of credit", "status": 403, "balance": 30}"#,
/// ).unwrap();
/// assert_eq!(problem.kind, "https://example.com/out-of-credit");
/// assert_eq!(problem.title.as_deref(), Some("Out of credit"));
/// assert_eq!(problem.extensions["balance"], 30);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProblemDetails {
    /// `type`: the URI reference of the type of the problem; `about:blank` if the server sent none.
    pub kind: String,
    /// `title`: a short summary, the same for all problems of this type.
    pub title: Option<String>,
    /// `status`: the status that the server generated; a proxy may have changed that of the response.
    pub status: Option<u16>,
    /// `detail`: an explanation of this occurrence of the problem.
    pub detail: Option<String>,
    /// `instance`: the URI reference of this occurrence of the problem.
    pub instance: Option<String>,
    /// The other members.
    pub extensions: Map<String, Value>,
}

impl<'de> Deserialize<'de> for ProblemDetails {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Map::deserialize(deserializer)?;
        let mut text = |name| match members.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (kind, title, detail, instance) = (text("type"), text("title"), text("detail"), text("instance"));
        let status = members.remove("status");
        Ok(Self {
            kind: kind.unwrap_or_else(|| "about:blank".to_owned()),
            title,
            status: status
                .and_then(|status| u16::try_from(status.as_u64()?).ok())
                .filter(|status| (100..=599).contains(status)),
            detail,
            instance,
            extensions: members,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_another_type_are_ignored() {
        let problem: ProblemDetails = serde_json::from_str(
            r#"{"type": 1, "title": ["a"], "status": "403", "detail": null, "instance": {}, "errors": [{"field": "age"}]}"#,
        )
        .unwrap();
        assert_eq!(problem.kind, "about:blank");
        assert_eq!(
            (problem.title, problem.status, problem.detail, problem.instance),
            (None, None, None, None)
        );
        assert_eq!(problem.extensions["errors"][0]["field"], "age");
        assert_eq!(problem.extensions.len(), 1);
        for status in ["99", "600", "-1", "403.5", "1e99"] {
            let problem: ProblemDetails = serde_json::from_str(&format!(r#"{{"status": {status}}}"#)).unwrap();
            assert_eq!(problem.status, None, "{status}");
        }
        assert!(serde_json::from_str::<ProblemDetails>("[]").is_err());
    }
}
