//! What a server says about an error: RFC 6749, section 5.2, and the other forms that servers use.

use http::StatusCode;
use networking_spi::NetworkError;
use networking_spi::error::context;
use networking_spi::redact;
use serde_json::{Map, Value};

use super::secrets::Secrets;

const CODES: [&str; 4] = ["error_code", "errorCode", "errcode", "code"];

const DESCRIPTIONS: [&str; 13] = [
    "error_description",
    "errorDescription",
    "error_message",
    "errorMessage",
    "error_reason",
    "errmsg",
    "message",
    "developerMessage",
    "msg",
    "detail",
    "title",
    "errors",
    "fault",
];

/// The members of an error object that identify the error, and those that describe it.
const IN_OBJECT: [&str; 6] = ["error", "error_code", "status", "type", "code", "name"];

/// The error that a server reports.
#[derive(Clone, Default)]
pub(super) struct Refusal {
    code: Option<String>,
    description: Option<String>,
    uri: Option<String>,
    /// Whether the response has a member `error`, or says in another way that it is an error, whatever its status is.
    pub(super) explicit: bool,
}

impl Refusal {
    pub(super) fn of_members(members: &Map<String, Value>) -> Option<Self> {
        let mut refusal = Self::default();
        match members.get("error") {
            // Forms have only strings.
            Some(Value::String(code)) => {
                let none = |code: &String| {
                    ["0", "false", "null", "none"]
                        .iter()
                        .any(|none| code.eq_ignore_ascii_case(none))
                };
                refusal.code = some(code).filter(|code| !none(code));
            }
            Some(Value::Object(error)) => {
                let code = IN_OBJECT.iter().find_map(|name| word(error.get(*name)?));
                // Some servers send the object with every response.
                if !matches!(code.as_deref(), Some("0" | "ok" | "OK" | "success")) {
                    refusal.code = code;
                    refusal.description = described(error);
                }
            }
            Some(list @ Value::Array(_)) => refusal.description = phrase(list),
            Some(Value::Bool(true)) => refusal.explicit = true,
            Some(number @ Value::Number(_)) => refusal.code = word(number).filter(|code| code != "0"),
            _ => {}
        }
        refusal.explicit |= refusal.code.is_some() || refusal.description.is_some();
        let failed = |name| members.get(name) == Some(&Value::Bool(false));
        let numbered = || members.get("errcode").and_then(word).is_some_and(|code| code != "0");
        refusal.explicit |= !members.contains_key("access_token") && (failed("ok") || failed("success") || numbered());

        let code = || CODES.iter().find_map(|name| word(members.get(*name)?));
        refusal.code = refusal.code.or_else(code).filter(|code| code != "0");
        let description = described(members);
        refusal.description = match (refusal.description, description) {
            (Some(inner), Some(outer)) if inner != outer => Some(format!("{inner}; {outer}")),
            (inner, outer) => inner.or(outer),
        };
        refusal.uri = members.get("error_uri").and_then(word);
        let says_nothing = refusal.code.is_none() && refusal.description.is_none() && !refusal.explicit;
        (!says_nothing).then_some(refusal)
    }

    /// The text of a body that is neither JSON nor a form.
    pub(super) fn of_text(text: String) -> Self {
        Self {
            description: Some(text),
            ..Self::default()
        }
    }

    /// All members of an error response that has none of the known ones.
    pub(super) fn of_unknown(members: &Map<String, Value>) -> Option<Self> {
        let shown: Map<String, Value> = members
            .iter()
            .filter(|(name, _)| !redact::is_secret_name(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        (!shown.is_empty()).then(|| Self::of_text(Value::Object(shown).to_string()))
    }

    /// The parameters of a challenge: RFC 6750, section 3.
    pub(super) fn of_challenge(challenge: &str) -> Option<Self> {
        let parameter = |name: &str| {
            let start = challenge.find(&format!("{name}=\""))? + name.len() + 2;
            let (value, _) = challenge.get(start..)?.split_once('"')?;
            some(value)
        };
        let code = parameter("error")?;
        Some(Self {
            code: Some(code),
            description: parameter("error_description"),
            uri: parameter("error_uri"),
            explicit: true,
        })
    }

    /// Whether the server has decided against the request. Otherwise the status says what happened: the server is overloaded or
    /// broken, or the URL is not that of an endpoint, and the page for it is JSON.
    pub(super) fn is_refusal(&self, status: StatusCode) -> bool {
        let code_of_protocol = || {
            let code = self.code.as_deref().unwrap_or_default();
            !code.is_empty()
                && code
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || b"_-.:".contains(&byte))
        };
        self.explicit
            && status.is_client_error()
            && match status.as_u16() {
                408 | 429 => false,
                400..=403 => true,
                _ => code_of_protocol(),
            }
    }

    /// Adds what the server says to an error.
    pub(super) fn describe(&self, mut error: NetworkError, secrets: &Secrets) -> NetworkError {
        let mut description = self.description.clone();
        if let Some(code) = &self.code {
            let shown = secrets.code(code);
            if shown.is_empty() {
                // A code in another script.
                description.get_or_insert_with(|| code.clone());
            }
            error = error.with_context(context::ERROR, shown);
        }
        let texts = [(context::DESCRIPTION, &description), (context::ERROR_URI, &self.uri)];
        for (key, text) in texts {
            let shown = text.as_deref().map(|text| secrets.text(text)).unwrap_or_default();
            if !shown.is_empty() {
                error = error.with_context(key, shown);
            }
        }
        error
    }

    /// The response of RFC 6749, section 5.2, that says the same; `None` without an error code.
    pub(super) fn to_standard(&self, secrets: &Secrets) -> Option<Map<String, Value>> {
        let code = secrets.code(self.code.as_ref()?);
        let mut members = Map::new();
        members.insert("error".to_owned(), code.into());
        for (name, text) in [("error_description", &self.description), ("error_uri", &self.uri)] {
            if let Some(text) = text {
                members.insert(name.to_owned(), secrets.text(text).into());
            }
        }
        Some(members)
    }
}

fn described(members: &Map<String, Value>) -> Option<String> {
    DESCRIPTIONS.iter().find_map(|name| phrase(members.get(*name)?))
}

fn some(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A short value as text.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Any value as text: of an object its description, of a list all elements.
fn phrase(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(_) => None,
        Value::Array(list) => {
            let all: Vec<String> = list.iter().take(10).filter_map(phrase).collect();
            (!all.is_empty()).then(|| all.join("; "))
        }
        Value::Object(members) if members.is_empty() => None,
        Value::Object(members) => {
            let named = members.get("faultstring").and_then(phrase);
            named.or_else(|| described(members)).or_else(|| Some(value.to_string()))
        }
        other => word(other),
    }
}

/// The text at the start of a page: of HTML, what a browser would show.
pub(super) fn text_of_page(page: &str) -> Option<String> {
    const MOST: usize = 16 << 10;
    let end = page.char_indices().nth(MOST).map_or(page.len(), |(end, _)| end);
    let page = &page[..end];
    if !page.contains('<') {
        return some(page);
    }
    let mut shown = String::new();
    let mut rest = page;
    while let Some((text, tag)) = rest.split_once('<') {
        shown.push_str(text);
        shown.push(' ');
        let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
        let hidden = ["script", "style", "svg"]
            .iter()
            .find(|hidden| name.eq_ignore_ascii_case(hidden));
        rest = match hidden {
            Some(hidden) => tag
                .to_ascii_lowercase()
                .find(&format!("</{hidden}"))
                .and_then(|end| tag.get(end + 1..))
                .unwrap_or_default(),
            None => tag,
        };
        rest = rest.split_once('>').map_or("", |(_, rest)| rest);
    }
    shown.push_str(rest);
    for (escaped, char) in [
        ("&nbsp;", " "),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&#34;", "\""),
        ("&amp;", "&"),
    ] {
        shown = shown.replace(escaped, char);
    }
    some(&shown)
}
