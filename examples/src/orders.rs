//! A typed client of an HTTP API, as an application would write it.
//!
//! It implements the paths, values and errors of the API. It sends requests through an injected [`HttpClient`], which is
//! configured with credentials, timeouts and retries: see the program `api_client`. Tests inject another client: see the test
//! `mock_http_client`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use networking_spi::http::{HttpResponse, StatusCode};
use networking_spi::prelude::*;
use serde::{Deserialize, Serialize};

/// The client of a shop's API. Clones share the HTTP client.
#[derive(Debug, Clone)]
pub struct OrdersApi {
    http: Arc<dyn HttpClient>,
}

/// An order, as the shop returns it.
///
/// Exhaustive on purpose: tests construct it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its id.
    pub id: u64,
    /// The name of the item.
    pub item: String,
    /// The number of items.
    pub quantity: u32,
}

/// An order to place.
///
/// Exhaustive on purpose: it is the body of a request, and callers write all of it.
#[derive(Debug, Clone, Serialize)]
pub struct NewOrder<'o> {
    /// The name of the item.
    pub item: &'o str,
    /// The number of items.
    pub quantity: u32,
}

/// The errors of the API, in terms of the application.
#[derive(Debug)]
#[non_exhaustive]
pub enum OrdersError {
    /// The order does not exist.
    NotFound(u64),
    /// The shop refused the order, for this reason.
    Refused(String),
    /// The shop is overloaded, even after the client's retries.
    Busy {
        /// How long to wait before the next attempt, if the shop asked for it.
        retry_after: Option<Duration>,
    },
    /// Any other error of the HTTP client.
    Http(NetworkError),
}

impl OrdersApi {
    /// Makes a client of the API. The base URL of `http` must be that of the API.
    pub fn new(http: Arc<dyn HttpClient>) -> Self {
        Self { http }
    }

    /// Reads an order.
    ///
    /// # Errors
    /// [`NotFound`](OrdersError::NotFound), [`Busy`](OrdersError::Busy), and errors of the HTTP client.
    pub async fn order(&self, id: u64) -> Result<Order, OrdersError> {
        let response = self.http.get(format!("orders/{id}")).await?;
        match response.status {
            StatusCode::NOT_FOUND => Err(OrdersError::NotFound(id)),
            _ => Ok(accepted(response).await?.json().await?),
        }
    }

    /// Places an order. With the idempotency key the shop recognizes a repeated request, and the HTTP client retries the
    /// `POST`.
    ///
    /// # Errors
    /// [`Refused`](OrdersError::Refused), [`Busy`](OrdersError::Busy), and errors of the HTTP client.
    pub async fn place(&self, order: &NewOrder<'_>, key: &str) -> Result<Order, OrdersError> {
        let response = self
            .http
            .post("orders")
            .header("idempotency-key", key)
            .json(order)
            .await?;
        Ok(accepted(response).await?.json().await?)
    }
}

/// Maps the error statuses that every operation of the API may return.
async fn accepted(response: HttpResponse) -> Result<HttpResponse, OrdersError> {
    /// Problem details (RFC 9457).
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }

    match response.status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Err(OrdersError::Busy {
            retry_after: response.retry_after_seconds(),
        }),
        StatusCode::UNPROCESSABLE_ENTITY => {
            let problem: Problem = response.json().await?;
            Err(OrdersError::Refused(problem.detail))
        }
        _ => Ok(response.error_for_status()?),
    }
}

impl From<NetworkError> for OrdersError {
    fn from(error: NetworkError) -> Self {
        Self::Http(error)
    }
}

impl fmt::Display for OrdersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(id) => write!(f, "there is no order {id}"),
            Self::Refused(why) => write!(f, "the order was refused: {why}"),
            Self::Busy { retry_after: None } => f.write_str("the shop is busy"),
            Self::Busy {
                retry_after: Some(after),
            } => write!(f, "the shop is busy, retry in {after:?}"),
            Self::Http(_) => f.write_str("the request to the shop failed"),
        }
    }
}

impl std::error::Error for OrdersError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Http(error) => Some(error),
            _ => None,
        }
    }
}
