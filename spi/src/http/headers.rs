//! Headers of requests and responses, made of the types that applications have.

use std::collections::{BTreeMap, HashMap};

use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{NetworkError, Result};
use crate::redact;

/// What headers can be made of: a [`HeaderMap`], a slice, array or `Vec` of pairs, or a map.
///
/// ```
/// use std::collections::HashMap;
/// use networking_spi::http::{HttpRequest, Method};
///
/// let request = HttpRequest::new(Method::GET, "https://example.com/")
///     .with_headers([("accept", "application/json"), ("x-tenant", "acme")])?
///     .with_headers(HashMap::from([("x-trace", String::from("7"))]))?;
/// assert_eq!(request.headers.len(), 3);
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
pub trait IntoHeaders {
    /// The headers.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name or value that HTTP does not allow. It names the header.
    fn into_headers(self) -> Result<HeaderMap>;
}

impl IntoHeaders for HeaderMap {
    fn into_headers(mut self) -> Result<HeaderMap> {
        for (name, value) in &mut self {
            if redact::is_secret_header(name) {
                value.set_sensitive(true);
            }
        }
        Ok(self)
    }
}

impl IntoHeaders for &HeaderMap {
    fn into_headers(self) -> Result<HeaderMap> {
        self.clone().into_headers()
    }
}

macro_rules! of_pairs {
    ($($(#[$attribute:meta])* [$($generics:tt)*] $type:ty;)+) => {$(
        $(#[$attribute])*
        impl<$($generics)*> IntoHeaders for $type
        where
            N: TryInto<HeaderName>,
            V: TryInto<HeaderValue>,
        {
            fn into_headers(self) -> Result<HeaderMap> {
                collect(self)
            }
        }
    )+};
}

of_pairs! {
    [N, V] Vec<(N, V)>;
    [N, V, const L: usize] [(N, V); L];
    [N, V, S] HashMap<N, V, S>;
    [N, V] BTreeMap<N, V>;
}

macro_rules! of_references {
    ($($(#[$attribute:meta])* [$($generics:tt)*] $type:ty;)+) => {$(
        $(#[$attribute])*
        impl<'a, $($generics)*> IntoHeaders for &'a $type
        where
            &'a N: TryInto<HeaderName>,
            &'a V: TryInto<HeaderValue>,
        {
            fn into_headers(self) -> Result<HeaderMap> {
                collect(self)
            }
        }
    )+};
}

of_references! {
    [N, V, S] HashMap<N, V, S>;
    [N, V] BTreeMap<N, V>;
}

impl<N, V> IntoHeaders for &[(N, V)]
where
    N: TryInto<HeaderName> + Clone,
    V: TryInto<HeaderValue> + Clone,
{
    fn into_headers(self) -> Result<HeaderMap> {
        collect(self.iter().cloned())
    }
}

impl<N, V, const L: usize> IntoHeaders for &[(N, V); L]
where
    N: TryInto<HeaderName> + Clone,
    V: TryInto<HeaderValue> + Clone,
{
    fn into_headers(self) -> Result<HeaderMap> {
        self.as_slice().into_headers()
    }
}

impl<N, V> IntoHeaders for &Vec<(N, V)>
where
    N: TryInto<HeaderName> + Clone,
    V: TryInto<HeaderValue> + Clone,
{
    fn into_headers(self) -> Result<HeaderMap> {
        self.as_slice().into_headers()
    }
}

fn collect<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<HeaderMap>
where
    N: TryInto<HeaderName>,
    V: TryInto<HeaderValue>,
{
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let (name, value) = pair(name, value)?;
        headers.try_append(name, value)?;
    }
    Ok(headers)
}

/// Sets `new` in `headers`. Several values of one name are kept; earlier values of these names are not.
pub(super) fn replace(headers: &mut HeaderMap, new: HeaderMap) {
    let mut last = None;
    for (name, value) in new {
        // `None` is another value of the name before.
        match name {
            Some(name) => {
                headers.insert(&name, value);
                last = Some(name);
            }
            None => {
                if let Some(name) = &last
                    && let Entry::Occupied(mut values) = headers.entry(name)
                {
                    values.append(value);
                }
            }
        }
    }
}

/// A header, marked as sensitive if its name says so.
pub(crate) fn pair<N, V>(name: N, value: V) -> Result<(HeaderName, HeaderValue)>
where
    N: TryInto<HeaderName>,
    V: TryInto<HeaderValue>,
{
    let name = name
        .try_into()
        .map_err(|_| NetworkError::invalid_input("header", "is not a header name"))?;
    let mut value: HeaderValue = value.try_into().map_err(|_| {
        NetworkError::invalid_input(
            format!("header.{name}"),
            "has characters that a header value cannot have",
        )
    })?;
    if redact::is_secret_header(&name) {
        value.set_sensitive(true);
    }
    Ok((name, value))
}

/// A sensitive value. The error names `field`, and does not have the value.
pub(super) fn secret(text: String, field: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| NetworkError::invalid_input(field, "has characters that a header cannot have"))?;
    value.set_sensitive(true);
    Ok(value)
}
