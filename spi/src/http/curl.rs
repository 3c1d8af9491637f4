//! Requests as `curl` commands.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::time::Duration;

use http::{HeaderName, Method, header};
use serde_json::Value;
use url::Url;

use super::target::without_user;
use super::{HttpRequest, RequestTarget, media_type};
use crate::redact::{self, REDACTED};

/// The largest body that is printed, in bytes.
const MAX_INLINE: usize = 8 << 10;

/// A request that `Display` prints as a `curl` command. Created by [`HttpRequest::to_curl`].
///
/// `{}` prints one line, `{:#}` one option per line. Every argument is quoted for a POSIX shell.
///
/// * Secrets are printed as `[redacted]`: user information and secret parameters of the URL, secret headers, secret
///   fields of JSON and form bodies, and the password of a proxy. [`with_secrets`](Self::with_secrets) prints them.
/// * A text body of at most 8 KiB is printed. Any other body becomes `--data-binary @-`, which reads standard input; a
///   shell comment has its length.
/// * What the client adds to the request (base URL, default headers, credentials) is not printed.
///
/// ```
/// use networking_spi::http::{HttpRequest, Method};
///
/// let request = HttpRequest::new(Method::POST, "https://api.example.com/orders?api_key=abc")
///     .with_bearer("s3cr3t")?
///     .with_json(&serde_json::json!({"note": "it's late"}))?;
/// assert_eq!(
///     request.to_curl().to_string(),
///     "curl --header 'authorization: [redacted]' --header 'content-type: application/json' \
///      --data-raw '{\"note\":\"it'\\''s late\"}' --globoff 'https://api.example.com/orders?api_key=[redacted]'",
/// );
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[derive(Clone)]
pub struct CurlCommand<'r> {
    request: &'r HttpRequest,
    secrets: bool,
    hidden: Vec<HeaderName>,
}

impl HttpRequest {
    /// Returns the request as a `curl` command. Secrets are redacted.
    pub fn to_curl(&self) -> CurlCommand<'_> {
        CurlCommand {
            request: self,
            secrets: false,
            hidden: Vec::new(),
        }
    }
}

impl CurlCommand<'_> {
    /// Also prints secrets, so that the command can be run. Do not log it.
    pub fn with_secrets(mut self) -> Self {
        self.secrets = true;
        self
    }

    /// Hides the values of these headers too, in addition to headers with a secret name or a sensitive value.
    pub fn hiding(mut self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.hidden.extend(headers);
        self
    }

    fn arguments(&self) -> (Vec<Vec<Cow<'_, str>>>, Option<String>) {
        let mut arguments = Vec::new();
        let mut comment = None;
        self.push_method(&mut arguments);
        self.push_headers(&mut arguments);
        self.push_body(&mut arguments, &mut comment);
        self.push_options(&mut arguments);
        let url = self.url();
        if url.contains(['[', ']', '{', '}']) {
            arguments.push(vec!["--globoff".into()]);
        }
        arguments.push(if url.starts_with('-') {
            vec!["--url".into(), url.into()]
        } else {
            vec![url.into()]
        });
        (arguments, comment)
    }

    fn push_method<'a>(&'a self, out: &mut Vec<Vec<Cow<'a, str>>>) {
        let HttpRequest { method, body, .. } = self.request;
        // The method that curl uses without `--request`.
        let implied = if body.is_empty() { Method::GET } else { Method::POST };
        if *method == Method::HEAD && body.is_empty() {
            out.push(vec!["--head".into()]);
        } else if *method != implied {
            out.push(vec!["--request".into(), method.as_str().into()]);
        }
    }

    fn push_headers<'a>(&'a self, out: &mut Vec<Vec<Cow<'a, str>>>) {
        let HttpRequest { headers, body, .. } = self.request;
        for (name, value) in headers {
            let secret = value.is_sensitive() || redact::is_secret_header(name) || self.hidden.contains(name);
            let shown = if secret && !self.secrets {
                REDACTED.into()
            } else {
                String::from_utf8_lossy(value.as_bytes())
            };
            // With a colon and no value, curl would remove the header.
            let header = if shown.is_empty() {
                format!("{name};")
            } else {
                format!("{name}: {shown}")
            };
            out.push(vec!["--header".into(), header.into()]);
        }
        if !body.is_empty() && !headers.contains_key(header::CONTENT_TYPE) {
            // Otherwise curl would send the content type of a form.
            out.push(vec!["--header".into(), "content-type:".into()]);
        }
    }

    fn push_body<'a>(&'a self, out: &mut Vec<Vec<Cow<'a, str>>>, comment: &mut Option<String>) {
        let body = &self.request.body;
        if body.is_empty() {
            return;
        }
        if let Some(text) = body.as_bytes().and_then(|bytes| printable(bytes)) {
            let shown = if self.secrets {
                text.into()
            } else {
                self.redacted_body(text)
            };
            out.push(vec!["--data-raw".into(), shown]);
            return;
        }
        out.push(vec!["--data-binary".into(), "@-".into()]);
        *comment = Some(match body.length() {
            Some(length) => format!("the body, {length} bytes, is read from standard input"),
            None => "the body, of unknown length, is read from standard input".to_owned(),
        });
    }

    fn redacted_body<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if media_type::of(&self.request.headers).eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return redact::query(text).into();
        }
        // One JSON value, or several as in JSON lines.
        let values: std::result::Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
        if let Ok(mut values) = values
            && values.iter_mut().fold(false, |found, value| hide_fields(value) | found)
        {
            let lines: Vec<String> = values.iter().map(Value::to_string).collect();
            return lines.join("\n").into();
        }
        text.into()
    }

    fn push_options<'a>(&'a self, out: &mut Vec<Vec<Cow<'a, str>>>) {
        let options = &self.request.options;
        if let Some(timeout) = options
            .total_timeout
            .or(options.timeout)
            .filter(|limit| *limit != Duration::MAX)
        {
            out.push(vec!["--max-time".into(), timeout.as_secs_f64().to_string().into()]);
        }
        if options.follow_redirects == Some(true) {
            out.push(vec!["--location".into()]);
        }
        if options.verify_tls == Some(false) {
            out.push(vec!["--insecure".into()]);
        }
        if let Some(proxy) = &options.proxy {
            let url = if self.secrets {
                proxy.url.to_string()
            } else {
                redact::url(&proxy.url)
            };
            out.push(vec!["--proxy".into(), url.into()]);
            if let Some(username) = &proxy.username {
                let password = proxy
                    .password
                    .as_ref()
                    .map_or("", |password| if self.secrets { password.expose() } else { REDACTED });
                out.push(vec!["--proxy-user".into(), format!("{username}:{password}").into()]);
            }
        }
    }

    fn url(&self) -> String {
        match (&self.request.target, self.secrets) {
            (RequestTarget::Absolute(url), true) => without_fragment(url),
            (RequestTarget::Absolute(url), false) => redact::url(url),
            (RequestTarget::Relative(reference), true) => reference.clone(),
            (RequestTarget::Relative(reference), false) => {
                let reference = without_user(reference);
                let reference = reference.split('#').next().unwrap_or_default();
                match reference.split_once('?') {
                    Some((path, query)) => format!("{path}?{}", redact::query(query)),
                    None => reference.to_owned(),
                }
            }
        }
    }
}

impl fmt::Display for CurlCommand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (arguments, comment) = self.arguments();
        let separator = if f.alternate() { " \\\n  " } else { " " };
        f.write_str("curl")?;
        for argument in arguments {
            f.write_str(separator)?;
            for (index, word) in argument.iter().enumerate() {
                if index > 0 {
                    f.write_char(' ')?;
                }
                quote(word, f)?;
            }
        }
        match comment {
            Some(comment) => write!(f, " # {comment}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for CurlCommand<'_> {
    /// Prints no secrets, even after `with_secrets`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurlCommand")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// Returns the body as text, if it is short enough for an argument and has no control characters except newline and tab.
fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let plain = !text
        .chars()
        .any(|char| char.is_control() && char != '\n' && char != '\t');
    (bytes.len() <= MAX_INLINE && plain).then_some(text)
}

/// Replaces the values of secret fields. Returns whether there were any.
fn hide_fields(json: &mut Value) -> bool {
    let mut found = false;
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                if redact::is_secret_name(name) {
                    *value = REDACTED.into();
                    found = true;
                } else {
                    found |= hide_fields(value);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                found |= hide_fields(item);
            }
        }
        _ => {}
    }
    found
}

fn without_fragment(url: &Url) -> String {
    let mut url = url.clone();
    url.set_fragment(None);
    url.into()
}

/// Quotes one argument for a POSIX shell.
fn quote(word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(bare) {
        return f.write_str(word);
    }
    f.write_char('\'')?;
    for (index, piece) in word.split('\'').enumerate() {
        if index > 0 {
            f.write_str("'\\''")?;
        }
        f.write_str(piece)?;
    }
    f.write_char('\'')
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::http::{HttpBody, Multipart, ProxyConfig, RequestOptions};

    /// The arguments as a shell splits them.
    fn parsed(command: &CurlCommand<'_>) -> Vec<String> {
        let [line, lines] = [format!("{command}"), format!("{command:#}")].map(|shown| {
            // The shell function replaces curl. It prints each argument, followed by a NUL byte, which no argument has.
            let script = format!("curl() {{ printf '%s\\0' \"$@\"; }}\n{shown}\n");
            let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
            assert!(output.status.success(), "{shown}");
            let mut words: Vec<String> = String::from_utf8(output.stdout)
                .unwrap()
                .split('\0')
                .map(str::to_owned)
                .collect();
            words.pop();
            words
        });
        assert_eq!(line, lines);
        line
    }

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        let nasty = "it's $HOME `id` \"x\" \\ !\n\t*#; ü";
        let request = HttpRequest::new(Method::PUT, "https://a.test/x?q=a'b&r=[1]{2}#part")
            .with_header("x-note", "a 'quoted' $value")
            .unwrap()
            .with_header("x-empty", "")
            .unwrap()
            .with_body(nasty);
        assert_eq!(
            parsed(&request.to_curl()),
            [
                "--request",
                "PUT",
                "--header",
                "x-note: a 'quoted' $value",
                "--header",
                "x-empty;",
                "--header",
                "content-type:",
                "--data-raw",
                nasty,
                "--globoff",
                "https://a.test/x?q=a%27b&r=[1]{2}",
            ]
        );
    }

    #[test]
    fn methods_are_given_where_curl_would_choose_another() {
        let words = |method, body: &'static str| {
            let request = HttpRequest::new(method, "http://a.test/").with_body(body);
            parsed(&request.to_curl()).into_iter().take(2).collect::<Vec<_>>()
        };
        assert_eq!(words(Method::GET, ""), ["http://a.test/"]);
        assert_eq!(words(Method::HEAD, ""), ["--head", "http://a.test/"]);
        assert_eq!(words(Method::POST, ""), ["--request", "POST"]);
        assert_eq!(words(Method::POST, "x"), ["--header", "content-type:"]);
        assert_eq!(words(Method::GET, "x"), ["--request", "GET"]);
        let custom = Method::from_bytes(b"PURGE").unwrap();
        assert_eq!(words(custom, ""), ["--request", "PURGE"]);
        let relative = HttpRequest::new(Method::GET, "-o/etc/x");
        assert_eq!(parsed(&relative.to_curl()), ["--url", "-o/etc/x"]);
    }

    #[test]
    fn secrets_are_hidden_everywhere_unless_asked_for() {
        let proxy = ProxyConfig::new("http://proxy.test:3128".parse().unwrap()).with_credentials("me", "SECRET1");
        let options = RequestOptions::new()
            .with_proxy(proxy)
            .with_timeout(Duration::from_millis(1_500))
            .with_follow_redirects(true)
            .with_verify_tls(false);
        let base = |target: &str| {
            HttpRequest::new(Method::POST, target)
                .with_bearer("SECRET2")
                .unwrap()
                .with_header("x-tenant", "SECRET3")
                .unwrap()
                .with_options(options.clone())
        };
        let requests = [
            base("https://u:SECRET4@a.test/?token=SECRET5&page=2")
                .with_json(&serde_json::json!({"a": [{"password": "SECRET6"}], "page": 2}))
                .unwrap(),
            base("//u:SECRET4@a.test/x?api%5Fkey=SECRET5&page=2")
                .with_form([("client_secret", "SECRET6"), ("page", "2")])
                .unwrap(),
        ];
        for request in &requests {
            let command = request.to_curl().hiding([HeaderName::from_static("x-tenant")]);
            let shown = parsed(&command).join(" ");
            assert!(!shown.contains("SECRET"), "{shown}");
            assert!(
                shown.contains("page=2") && shown.contains("--insecure --proxy http://proxy.test:3128/"),
                "{shown}"
            );
            assert!(shown.contains("--max-time 1.5 --location"), "{shown}");
            let open = parsed(&command.clone().with_secrets()).join(" ");
            for number in 1..=6 {
                assert!(open.contains(&format!("SECRET{number}")), "{number}: {open}");
            }
            assert!(!format!("{:?}", command.with_secrets()).contains("SECRET2"));
        }
    }

    #[test]
    fn secrets_are_found_in_forms_and_json_of_every_spelling_and_in_urls_that_do_not_parse() {
        let post = |target: &str, content_type: &str, body: &str| {
            let request = HttpRequest::new(Method::POST, target).with_body(body.to_owned());
            let request = request.with_header("content-type", content_type).unwrap();
            parsed(&request.to_curl()).join(" ")
        };
        let form = "Application/X-WWW-Form-URLEncoded;charset=utf-8";
        for shown in [
            post("/x", form, "page=2&client_secret=SECRET"),
            post(
                "/x",
                "application/x-ndjson",
                "{\"page\":2}\n{\"password\":\"SECRET\"}\n",
            ),
            post("http://u:SECRET?SECRET@a.test/x", "text/plain", "page"),
            post("http://u:SECRET#SECRET@a.test/x?token=SECRET", "text/plain", "page"),
        ] {
            assert!(!shown.contains("SECRET"), "{shown}");
            assert!(shown.contains("page"), "{shown}");
        }
    }

    #[test]
    fn bodies_that_are_long_or_not_text_come_from_standard_input() {
        let form = Multipart::new().text("a", "b").encode().unwrap().1;
        let stream = HttpBody::stream(Box::pin(futures_util::stream::empty()), None);
        for body in [
            form,
            stream,
            HttpBody::from(vec![0xff]),
            HttpBody::from("a\u{1b}[2J"),
            HttpBody::from("x".repeat(MAX_INLINE + 1)),
        ] {
            let request = HttpRequest::new(Method::POST, "http://a.test/").with_body(body);
            let words = parsed(&request.to_curl());
            assert_eq!(words[2..], ["--data-binary", "@-", "http://a.test/"]);
        }
        let request = HttpRequest::new(Method::POST, "http://a.test/").with_body(vec![0]);
        assert!(
            request
                .to_curl()
                .to_string()
                .ends_with("# the body, 1 bytes, is read from standard input")
        );
    }
}
