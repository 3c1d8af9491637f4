//! Cookie storage (RFC 6265bis).

mod cookie;
mod date;
mod json;
mod set_cookie;
mod suffixes;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::HeaderValue;
use networking_spi::clock::Clock;
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::RwLock;
use time::OffsetDateTime;
use url::Url;

use self::cookie::{Cookie, is_secure};
use self::json::Exported;
use self::set_cookie::SetCookie;
use self::suffixes::site_of;
use networking_runtime::clock::TokioClock;

/// The longest `Cookie` header that the jar makes, in bytes. Cookies with the shortest paths are omitted.
const MAX_HEADER: usize = 16 << 10;

/// The longest lifetime of a cookie.
const MAX_LIFE: Duration = Duration::from_secs(400 * 86_400);

/// A cookie jar for one or more clients. Clones share the cookies.
///
/// Cookies are stored and sent according to RFC 6265bis: domain, path, `Secure`, `Max-Age` and `Expires`, the prefixes
/// `__Secure-` and `__Host-`. Names and values are bytes, which are sent back unchanged. A cookie without a name (`=value` or
/// `value`) is sent as `value`. `HttpOnly` has no effect, because all requests are HTTP requests. `SameSite` is ignored, because it
/// applies only to browsers. A cookie for a public suffix (`co.uk`) is refused, and so is a `Secure` cookie over plain HTTP
/// (loopback hosts count as secure). Without the cargo feature `public-suffix`, only domains of one label count as public
/// suffixes.
///
/// The jar keeps at most 3,000 cookies, at most 180 per site, and each for at most 400 days. Name and value of a cookie may have
/// 4,096 bytes together; attributes whose value has more than 1,024 bytes are ignored. When a limit is reached, expired cookies are evicted first, then the least recently used ones; within a
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
    cookie: Cookie,
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

    /// Stores a cookie as if a response from `url` had set it. An expired cookie removes the stored one. `set_cookie` is the value
    /// of a `Set-Cookie` header, which need not be text.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for the field `cookie`, with the reason why it is refused.
    pub fn set(&self, url: &Url, set_cookie: impl AsRef<[u8]>) -> Result<()> {
        self.0.set(url, set_cookie.as_ref()).map_err(refused)
    }

    /// The `Cookie` header for a request to `url`, marked sensitive. Cookies with longer paths come first, then older cookies.
    /// `None` if no cookie matches.
    pub fn header(&self, url: &Url) -> Option<HeaderValue> {
        self.merged_header(url, None)
    }

    /// The same, appended to the request's header `own`. Cookies whose names are in `own` are omitted.
    pub(super) fn merged_header(&self, url: &Url, own: Option<&[u8]>) -> Option<HeaderValue> {
        let own = own.map(<[u8]>::trim_ascii).filter(|own| !own.is_empty());
        let own_names: Vec<&[u8]> = own.into_iter().flat_map(names).collect();
        let header = self.0.header(url, &own_names);
        if header.is_empty() {
            return None;
        }
        let header = match own {
            Some(own) => [own, b"; ", &header].concat(),
            None => header,
        };
        let mut value = HeaderValue::from_bytes(&header).ok()?;
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

    /// Exports all cookies that have not expired, including session cookies, as JSON, in the layout of the crate `cookie_store`.
    /// The text contains their values: protect it like a password.
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
            .filter(|kept| !kept.cookie.has_expired(now))
            .collect();
        kept.sort_by_key(|kept| kept.number);
        let cookies: Vec<Exported> = kept.iter().map(|kept| Exported::from(&kept.cookie)).collect();
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
        let cookies: Vec<Exported> = serde_json::from_str(json).map_err(|error| {
            // The cause is omitted, because it may contain a value; the position does not.
            NetworkError::new(ErrorKind::Decode, "http.cookies", "the text is not an exported jar")
                .with_context("line", error.line().to_string())
                .with_context("column", error.column().to_string())
        })?;
        let now = self.0.now();
        let mut state = self.0.state.write();
        let mut added = 0;
        for mut cookie in cookies.into_iter().filter_map(Exported::into_cookie) {
            cookie.expires = cookie.expires.map(|end| end.min(now + MAX_LIFE));
            if !cookie.has_expired(now) {
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

/// The names of the cookies in a `Cookie` header. A cookie without `=` has no name.
fn names(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    header
        .split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.iter().position(|byte| *byte == b'=') {
            Some(end) => pair[..end].trim_ascii_end(),
            None => b"",
        })
}

fn refused(message: &'static str) -> NetworkError {
    NetworkError::invalid_input("cookie", message).with_operation("http.cookies")
}

impl Inner {
    fn now(&self) -> OffsetDateTime {
        self.clock.now().into()
    }

    fn set(&self, url: &Url, set_cookie: &[u8]) -> Result<(), &'static str> {
        let set = SetCookie::parse(set_cookie)?;
        let mut cookie = Cookie::new(&set, url)?;
        let now = self.now();
        let latest = now + MAX_LIFE;
        cookie.expires = match (set.max_age, set.expires) {
            // Zero or less means that the cookie has expired.
            (Some(age), _) if !age.is_positive() => Some(OffsetDateTime::UNIX_EPOCH),
            (Some(age), _) => Some(now.checked_add(age).map_or(latest, |end| end.min(latest))),
            (None, Some(end)) => Some(end.min(latest)),
            (None, None) => None,
        };

        let mut state = self.state.write();
        if !is_secure(url) && state.would_shadow_secure(&cookie, now) {
            return Err("would replace a cookie for secure connections");
        }
        if cookie.has_expired(now) {
            state.remove(&cookie);
        } else {
            self.keep(&mut state, cookie, now);
        }
        Ok(())
    }

    fn keep(&self, state: &mut State, cookie: Cookie, now: OffsetDateTime) {
        let tick = self.ticks.fetch_add(1, Relaxed);
        // A replaced cookie keeps its creation order (RFC 6265bis, section 5.7).
        let number = state.remove(&cookie).unwrap_or_else(|| {
            state.made += 1;
            state.made
        });
        if state.count >= self.most {
            state.make_room(now);
        }
        let site = state.sites.entry(site_of(cookie.domain.name()).into()).or_default();
        if site.len() >= self.most_of_site {
            let before = site.len();
            site.retain(|kept| !kept.cookie.has_expired(now));
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

    /// The cookies for a request to `url`, except those with these names.
    fn header(&self, url: &Url, except: &[&[u8]]) -> Vec<u8> {
        let mut header = Vec::new();
        let Some(host) = url.host_str() else {
            return header;
        };
        let state = self.state.read();
        let Some(site) = state.sites.get(site_of(host)) else {
            return header;
        };
        let now = self.now();
        let mut fitting: Vec<&Kept> = site
            .iter()
            .filter(|kept| !kept.cookie.has_expired(now) && kept.cookie.matches(url))
            .filter(|kept| !except.contains(&&*kept.cookie.name))
            .collect();
        fitting.sort_by_key(|kept| (std::cmp::Reverse(kept.cookie.path.bytes.len()), kept.number));
        let tick = self.ticks.fetch_add(1, Relaxed);
        for Kept { cookie, last_used, .. } in fitting {
            if header.len() + "; ".len() + cookie.len() > MAX_HEADER {
                break;
            }
            last_used.store(tick, Relaxed);
            if !header.is_empty() {
                header.extend_from_slice(b"; ");
            }
            cookie.write_to(&mut header);
        }
        header
    }
}

impl State {
    /// Removes the cookie with the same name, domain and path, and returns its number.
    fn remove(&mut self, cookie: &Cookie) -> Option<u64> {
        let name = site_of(cookie.domain.name());
        let site = self.sites.get_mut(name)?;
        let index = site.iter().position(|kept| kept.cookie.is_same(cookie))?;
        let removed = site.swap_remove(index);
        if site.is_empty() {
            self.sites.remove(name);
        }
        self.count -= 1;
        Some(removed.number)
    }

    /// Whether a cookie from an insecure connection would replace or hide a `Secure` cookie.
    fn would_shadow_secure(&self, cookie: &Cookie, now: OffsetDateTime) -> bool {
        let site = self.sites.get(site_of(cookie.domain.name()));
        site.into_iter()
            .flatten()
            .any(|kept| cookie.shadows(&kept.cookie) && !kept.cookie.has_expired(now))
    }

    /// Removes expired cookies, or, if there are none, the least recently used cookie.
    fn make_room(&mut self, now: OffsetDateTime) {
        let before = self.count;
        self.sites.retain(|_, site| {
            site.retain(|kept| !kept.cookie.has_expired(now));
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
    let need = |kept: &Kept| (kept.cookie.secure, kept.last_used.load(Relaxed));
    (0..site.len()).min_by_key(|index| need(&site[*index]))
}

fn least_recently_used(site: &[Kept]) -> Option<usize> {
    let used = |kept: &Kept| kept.last_used.load(Relaxed);
    (0..site.len()).min_by_key(|index| used(&site[*index]))
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
            jar.set(&unsafe_, format!("c{number}=1; Domain=a.test")).unwrap();
        }
        assert_eq!(sent(&jar, "https://www.a.test/"), "session=good; c8=1; c9=1");
        for number in 0..3 {
            jar.set(&safe, format!("s{number}=1; Secure")).unwrap();
        }
        assert_eq!(sent(&jar, "https://www.a.test/"), "s0=1; s1=1; s2=1");
    }

    #[tokio::test]
    async fn the_header_is_bounded() {
        let jar = CookieJar::new();
        let a = url("https://a.test/");
        // Four of these cookies reach the limit without their separators, so only three fit.
        for number in 0..10 {
            jar.set(&a, format!("c{number}={}", "x".repeat(MAX_HEADER / 4 - 3)))
                .unwrap();
        }
        assert!(jar.header(&a).unwrap().len() <= MAX_HEADER);
    }
}
