//! Cookie storage (RFC 6265bis).

mod date;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cookie_store::{Cookie, CookieDomain, CookieExpiration, RawCookie};
use http::HeaderValue;
use networking_spi::clock::Clock;
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::RwLock;
use time::OffsetDateTime;
use url::{Host, Url};

use networking_runtime::clock::TokioClock;

/// The longest `Set-Cookie` that is parsed, in bytes.
const MAX_SET_COOKIE: usize = 8 << 10;

/// The longest name and value together, in bytes.
const MAX_PAIR: usize = 4 << 10;

/// The longest `Cookie` header that the jar makes, in bytes. Cookies with the shortest paths are omitted.
const MAX_HEADER: usize = 16 << 10;

/// The longest lifetime of a cookie.
const MAX_LIFE: Duration = Duration::from_secs(400 * 86_400);

/// A cookie jar for one or more clients. Clones share the cookies.
///
/// Cookies are stored and sent according to RFC 6265bis: domain, path, `Secure`, `Max-Age` and `Expires`, the prefixes
/// `__Secure-` and `__Host-`. `HttpOnly` has no effect, because all requests are HTTP requests. `SameSite` is ignored, because it
/// applies only to browsers. A cookie for a public suffix (`co.uk`) is refused, and so is a `Secure` cookie over plain HTTP
/// (loopback hosts count as secure). Without the cargo feature `public-suffix`, only domains of one label count as public
/// suffixes.
///
/// The jar keeps at most 3,000 cookies, at most 180 per site, and each for at most 400 days. Name and value of a cookie may have
/// 4,096 bytes together. When a limit is reached, expired cookies are evicted first, then the least recently used ones; within a
/// site, cookies without `Secure` before those with it.
///
/// `Debug` shows only the number of cookies.
///
/// ```
/// use networking_http::{CookieJar, HttpClientBuilder};
///
/// let jar = CookieJar::new();
/// jar.set(&"https://example.com/".parse().unwrap(), "session=abc; Path=/; Secure; HttpOnly")?;
/// let http = HttpClientBuilder::new().cookies(jar.clone()).build()?;
/// // Later, or in another process.
/// let restored = CookieJar::new();
/// assert_eq!(restored.import_json(&jar.export_json()?)?, 1);
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[derive(Clone)]
pub struct CookieJar(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    most: usize,
    most_of_site: usize,
    state: RwLock<State>,
    /// The number of uses so far, which orders `last_used`.
    ticks: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Cookies by registrable domain.
    sites: HashMap<Box<str>, Vec<Kept>>,
    count: usize,
    made: u64,
}

struct Kept {
    cookie: Cookie<'static>,
    /// Orders cookies by their creation.
    number: u64,
    last_used: AtomicU64,
}

impl CookieJar {
    /// An empty jar.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(TokioClock::new()))
    }

    /// An empty jar that measures the expiry of cookies with `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self::bounded(clock, 3_000, 180)
    }

    fn bounded(clock: Arc<dyn Clock>, most: usize, most_of_site: usize) -> Self {
        Self(Arc::new(Inner {
            clock,
            most,
            most_of_site,
            state: RwLock::default(),
            ticks: AtomicU64::new(0),
        }))
    }

    /// Stores a cookie as if a response from `url` had set it. An expired cookie removes the stored one.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for the field `cookie`, with the reason why it is refused.
    pub fn set(&self, url: &Url, set_cookie: &str) -> Result<()> {
        self.0.set(url, set_cookie).map_err(refused)
    }

    /// The `Cookie` header for a request to `url`, marked sensitive. Cookies with longer paths come first, then older cookies.
    /// `None` if no cookie matches.
    pub fn header(&self, url: &Url) -> Option<HeaderValue> {
        self.merged_header(url, None)
    }

    /// The same, appended to the request's header `own`. Cookies whose names are in `own` are omitted.
    pub(super) fn merged_header(&self, url: &Url, own: Option<&str>) -> Option<HeaderValue> {
        let own_names: Vec<&str> = own
            .into_iter()
            .flat_map(|own| own.split(';'))
            .map(|pair| pair.split('=').next().unwrap_or_default().trim())
            .collect();
        let mut header = String::new();
        for pair in self.0.pairs(url, &own_names) {
            if header.len() + "; ".len() + pair.len() > MAX_HEADER {
                break;
            }
            if !header.is_empty() {
                header.push_str("; ");
            }
            header.push_str(&pair);
        }
        if header.is_empty() {
            return None;
        }
        let header = match own {
            Some(own) if !own.trim().is_empty() => format!("{own}; {header}"),
            _ => header,
        };
        let mut value = HeaderValue::from_str(&header).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The number of cookies, including expired ones that have not been removed yet.
    pub fn len(&self) -> usize {
        self.0.state.read().count
    }

    /// Whether there are no cookies.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all cookies.
    pub fn clear(&self) {
        *self.0.state.write() = State::default();
    }

    /// Exports all cookies that have not expired, including session cookies, as JSON. The text contains their values: protect it
    /// like a password.
    ///
    /// # Errors
    /// [`Encode`](ErrorKind::Encode) for a cookie that cannot be encoded.
    pub fn export_json(&self) -> Result<String> {
        let now = self.0.now();
        let state = self.0.state.read();
        let mut kept: Vec<&Kept> = state
            .sites
            .values()
            .flatten()
            .filter(|kept| !kept.cookie.expires_by(&now))
            .collect();
        kept.sort_by_key(|kept| kept.number);
        let cookies: Vec<&Cookie<'static>> = kept.iter().map(|kept| &kept.cookie).collect();
        serde_json::to_string(&cookies).map_err(|_| {
            // The cause is omitted, because it may contain a value.
            NetworkError::new(
                ErrorKind::Encode,
                "http.cookies",
                "the cookies cannot be encoded as JSON",
            )
        })
    }

    /// Adds cookies from [`export_json`](Self::export_json), and returns how many were added. Expired cookies, and cookies that
    /// no host could have set, are skipped. An added cookie replaces one with the same name, domain and path.
    ///
    /// # Errors
    /// [`Decode`](ErrorKind::Decode) for text that is not an exported jar. No cookie is added then.
    pub fn import_json(&self, json: &str) -> Result<usize> {
        let cookies: Vec<Cookie<'static>> = serde_json::from_str(json).map_err(|error| {
            // The cause is omitted, because it may contain a value; the position does not.
            NetworkError::new(ErrorKind::Decode, "http.cookies", "the text is not an exported jar")
                .with_context("line", error.line().to_string())
                .with_context("column", error.column().to_string())
        })?;
        let now = self.0.now();
        let mut state = self.0.state.write();
        let mut added = 0;
        for mut cookie in cookies {
            if let CookieExpiration::AtUtc(end) = &mut cookie.expires {
                *end = (*end).min(now + MAX_LIFE);
            }
            if check_text(&cookie).is_err() || cookie.expires_by(&now) {
                continue;
            }
            let possible = match &cookie.domain {
                CookieDomain::HostOnly(host) => !host.is_empty(),
                CookieDomain::Suffix(domain) => !domain.is_empty() && !suffixes::is_public(domain),
                _ => false,
            };
            if possible {
                self.0.keep(&mut state, cookie, now);
                added += 1;
            }
        }
        Ok(added)
    }
}

impl Default for CookieJar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieJar")
            .field("cookies", &self.len())
            .finish_non_exhaustive()
    }
}

fn refused(message: &'static str) -> NetworkError {
    NetworkError::invalid_input("cookie", message).with_operation("http.cookies")
}

impl Inner {
    fn now(&self) -> OffsetDateTime {
        self.clock.now().into()
    }

    fn set(&self, url: &Url, set_cookie: &str) -> Result<(), &'static str> {
        if set_cookie.len() > MAX_SET_COOKIE {
            return Err("is too long");
        }
        let raw = RawCookie::parse(set_cookie.to_owned()).map_err(|_| "is not a cookie")?;
        let secure = raw.secure() == Some(true);
        if secure && !is_secure(url) {
            return Err("is Secure, but was set over an insecure connection");
        }
        let prefixed = |prefix: &str| {
            let start = raw.name().get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if prefixed("__Secure-") && !secure {
            return Err("has a name prefix that requires Secure");
        }
        if prefixed("__Host-") && !(secure && raw.path() == Some("/") && raw.domain().is_none_or(str::is_empty)) {
            return Err("has a name prefix that requires Secure, the path / and no domain");
        }
        let mut cookie = Cookie::try_from_raw_cookie(&raw, url).map_err(|_| "is for another domain")?;
        check_text(&cookie)?;
        if let CookieDomain::Suffix(domain) = &cookie.domain
            && suffixes::is_public(domain)
        {
            if url.host_str() != Some(domain) {
                return Err("is for a public suffix");
            }
            cookie.domain = CookieDomain::host_only(url).map_err(|_| "has no host")?;
        }
        let now = self.now();
        let latest = now + MAX_LIFE;
        cookie.expires = match (raw.max_age(), date::expires(set_cookie)) {
            // Zero or less means that the cookie has expired.
            (Some(age), _) if !age.is_positive() => CookieExpiration::AtUtc(OffsetDateTime::UNIX_EPOCH),
            (Some(age), _) => CookieExpiration::AtUtc(now.checked_add(age).map_or(latest, |end| end.min(latest))),
            (None, Some(end)) => CookieExpiration::AtUtc(end.min(latest)),
            (None, None) => CookieExpiration::SessionEnd,
        };

        let mut state = self.state.write();
        if !is_secure(url) && state.would_shadow_secure(&cookie, now) {
            return Err("would replace a cookie for secure connections");
        }
        if cookie.expires_by(&now) {
            state.remove(&cookie);
        } else {
            self.keep(&mut state, cookie.into_owned(), now);
        }
        Ok(())
    }

    fn keep(&self, state: &mut State, cookie: Cookie<'static>, now: OffsetDateTime) {
        let tick = self.ticks.fetch_add(1, Relaxed);
        // A replaced cookie keeps its creation order (RFC 6265bis, section 5.7).
        let number = state.remove(&cookie).unwrap_or_else(|| {
            state.made += 1;
            state.made
        });
        if state.count >= self.most {
            state.make_room(now);
        }
        let site = state.sites.entry(site_of(domain_of(&cookie)).into()).or_default();
        if site.len() >= self.most_of_site {
            let before = site.len();
            site.retain(|kept| !kept.cookie.expires_by(&now));
            if site.len() >= self.most_of_site
                && let Some(index) = least_needed(site)
            {
                site.swap_remove(index);
            }
            state.count -= before - site.len();
        }
        site.push(Kept {
            cookie,
            number,
            last_used: AtomicU64::new(tick),
        });
        state.count += 1;
    }

    fn pairs(&self, url: &Url, except: &[&str]) -> Vec<String> {
        let Some(host) = url.host_str() else {
            return Vec::new();
        };
        let state = self.state.read();
        let Some(site) = state.sites.get(site_of(host)) else {
            return Vec::new();
        };
        let now = self.now();
        let mut fitting: Vec<&Kept> = site
            .iter()
            .filter(|kept| !kept.cookie.expires_by(&now) && kept.cookie.matches(url))
            .filter(|kept| !except.contains(&kept.cookie.name()))
            .collect();
        fitting.sort_by_key(|kept| (std::cmp::Reverse(kept.cookie.path.len()), kept.number));
        let tick = self.ticks.fetch_add(1, Relaxed);
        fitting
            .iter()
            .map(|kept| {
                kept.last_used.store(tick, Relaxed);
                format!("{}={}", kept.cookie.name(), kept.cookie.value())
            })
            .collect()
    }
}

impl State {
    /// Removes the cookie with the same name, domain and path, and returns its number.
    fn remove(&mut self, cookie: &Cookie<'_>) -> Option<u64> {
        let name = site_of(domain_of(cookie));
        let site = self.sites.get_mut(name)?;
        let index = site.iter().position(|kept| {
            kept.cookie.name() == cookie.name()
                && kept.cookie.domain == cookie.domain
                && *kept.cookie.path == *cookie.path
        })?;
        let removed = site.swap_remove(index);
        if site.is_empty() {
            self.sites.remove(name);
        }
        self.count -= 1;
        Some(removed.number)
    }

    /// Whether a cookie from an insecure connection would replace or hide a `Secure` cookie, for all or for some of its hosts and
    /// paths.
    fn would_shadow_secure(&self, cookie: &Cookie<'_>, now: OffsetDateTime) -> bool {
        let domain = domain_of(cookie);
        let site = self.sites.get(site_of(domain));
        site.into_iter().flatten().any(|kept| {
            let known = domain_of(&kept.cookie);
            kept.cookie.secure() == Some(true)
                && kept.cookie.name() == cookie.name()
                && !kept.cookie.expires_by(&now)
                && (is_within(domain, known) || is_within(known, domain))
                && is_path_within(&cookie.path, &kept.cookie.path)
        })
    }

    /// Removes expired cookies, or, if there are none, the least recently used cookie.
    fn make_room(&mut self, now: OffsetDateTime) {
        let before = self.count;
        self.sites.retain(|_, site| {
            site.retain(|kept| !kept.cookie.expires_by(&now));
            !site.is_empty()
        });
        self.count = self.sites.values().map(Vec::len).sum();
        if self.count < before {
            return;
        }
        let oldest = self
            .sites
            .iter()
            .filter_map(|(name, site)| {
                let index = least_recently_used(site)?;
                Some((site[index].last_used.load(Relaxed), name.clone(), index))
            })
            .min();
        if let Some((_, name, index)) = oldest
            && let Some(site) = self.sites.get_mut(&name)
        {
            site.swap_remove(index);
            self.count -= 1;
            if site.is_empty() {
                self.sites.remove(&name);
            }
        }
    }
}

/// The cookie to evict from a full site. Cookies without `Secure` are evicted first, because an attacker on the network can set
/// any number of them.
fn least_needed(site: &[Kept]) -> Option<usize> {
    let need = |kept: &Kept| (kept.cookie.secure() == Some(true), kept.last_used.load(Relaxed));
    (0..site.len()).min_by_key(|index| need(&site[*index]))
}

fn least_recently_used(site: &[Kept]) -> Option<usize> {
    let used = |kept: &Kept| kept.last_used.load(Relaxed);
    (0..site.len()).min_by_key(|index| used(&site[*index]))
}

fn check_text(cookie: &Cookie<'_>) -> Result<(), &'static str> {
    if cookie.name().len() + cookie.value().len() > MAX_PAIR {
        return Err("is too long");
    }
    let sendable = |text: &str| text.bytes().all(|byte| byte >= b' ' && byte != 0x7f && byte != b';');
    if cookie.name().is_empty() || cookie.name().contains('=') || !sendable(cookie.name()) || !sendable(cookie.value())
    {
        return Err("has characters that a cookie cannot have");
    }
    Ok(())
}

/// The host or domain of a cookie.
fn domain_of<'c>(cookie: &'c Cookie<'_>) -> &'c str {
    match &cookie.domain {
        CookieDomain::HostOnly(name) | CookieDomain::Suffix(name) => name,
        _ => "",
    }
}

/// Whether `host` is `domain` or a subdomain of it.
fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

/// Whether `path` is `of` or below it.
fn is_path_within(path: &str, of: &str) -> bool {
    path.strip_prefix(of)
        .is_some_and(|below| below.is_empty() || below.starts_with('/') || of.ends_with('/'))
}

/// The registrable domain of a host, under which all its cookies are kept; the host itself if there is none.
fn site_of(host: &str) -> &str {
    match Host::parse(host) {
        Ok(Host::Domain(_)) => suffixes::registrable(host),
        _ => host,
    }
}

#[cfg(feature = "public-suffix")]
mod suffixes {
    pub(super) fn registrable(host: &str) -> &str {
        psl::domain_str(host).unwrap_or(host)
    }

    /// A domain that is not on the list is a suffix if it has one label.
    pub(super) fn is_public(domain: &str) -> bool {
        psl::suffix_str(domain).is_some_and(|suffix| suffix == domain)
    }
}

/// Without the list, every domain of one label is a public suffix, and no other.
#[cfg(not(feature = "public-suffix"))]
mod suffixes {
    pub(super) fn registrable(host: &str) -> &str {
        let mut dots = host.trim_end_matches('.').rmatch_indices('.').map(|(index, _)| index);
        match (dots.next(), dots.next()) {
            (Some(_), Some(second)) => &host[second + 1..],
            _ => host,
        }
    }

    pub(super) fn is_public(domain: &str) -> bool {
        !domain.trim_end_matches('.').contains('.')
    }
}

/// Whether requests to `url` are protected against attackers on the network.
fn is_secure(url: &Url) -> bool {
    url.scheme() == "https"
        || match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn sent(jar: &CookieJar, to: &str) -> String {
        let header = jar.header(&url(to));
        header.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_site_and_the_jar_evict_the_least_recently_used_cookie() {
        let jar = CookieJar::bounded(Arc::new(TokioClock::new()), 4, 2);
        let a = url("https://a.test/");
        jar.set(&a, "one=1").unwrap();
        jar.set(&a, "two=2; Path=/deep").unwrap();
        assert_eq!(sent(&jar, "https://a.test/"), "one=1");
        jar.set(&a, "three=3").unwrap();
        assert_eq!(
            sent(&jar, "https://a.test/deep"),
            "one=1; three=3",
            "two was the least recently used"
        );
        for host in ["b", "c", "d", "e"] {
            jar.set(&url(&format!("https://{host}.test/")), "x=1").unwrap();
            assert!(jar.len() <= 4);
        }
        assert_eq!(sent(&jar, "https://a.test/"), "", "not used for the longest time");
        assert_eq!(sent(&jar, "https://e.test/"), "x=1");
    }

    #[tokio::test(start_paused = true)]
    async fn expired_cookies_are_evicted_first() {
        let jar = CookieJar::bounded(Arc::new(TokioClock::new()), 2, 2);
        let a = url("https://a.test/");
        jar.set(&a, "old=1; Max-Age=1").unwrap();
        jar.set(&a, "used=1").unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        jar.set(&a, "new=1").unwrap();
        assert_eq!(sent(&jar, "https://a.test/"), "used=1; new=1");
    }

    #[tokio::test]
    async fn cookies_without_secure_do_not_evict_secure_ones() {
        let jar = CookieJar::bounded(Arc::new(TokioClock::new()), 10, 3);
        let (safe, unsafe_) = (url("https://www.a.test/"), url("http://evil.a.test/"));
        jar.set(&safe, "session=good; Secure").unwrap();
        for number in 0..10 {
            jar.set(&unsafe_, &format!("c{number}=1; Domain=a.test")).unwrap();
        }
        assert_eq!(sent(&jar, "https://www.a.test/"), "session=good; c8=1; c9=1");
        for number in 0..3 {
            jar.set(&safe, &format!("s{number}=1; Secure")).unwrap();
        }
        assert_eq!(sent(&jar, "https://www.a.test/"), "s0=1; s1=1; s2=1");
    }

    #[tokio::test]
    async fn the_header_is_bounded() {
        let jar = CookieJar::new();
        let a = url("https://a.test/");
        // Four of these cookies reach the limit without their separators, so only three fit.
        for number in 0..10 {
            jar.set(&a, &format!("c{number}={}", "x".repeat(MAX_HEADER / 4 - 3)))
                .unwrap();
        }
        assert!(jar.header(&a).unwrap().len() <= MAX_HEADER);
    }
}
