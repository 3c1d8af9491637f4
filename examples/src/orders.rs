//! A typed client of an HTTP API, as an application would write it.
//!
//! It knows the API: paths, values, and what its answers mean. It does not know how requests are sent: that is an
//! [`HttpClient`], which is injected. Credentials, timeouts and retries belong to that client, and a test puts another
//! one in its place. The program `api_client` shows the first, the test `mock_http_client` the second.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use networking_spi::http::{HttpResponse, StatusCode};
use networking_spi::prelude::*;
use serde::{Deserialize, Serialize};

/// The API of a shop. Clones share the client.
#[derive(Debug, Clone)]
pub struct OrdersApi {
    http: Arc<dyn HttpClient>,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number.
    pub id: u64,
    /// What was ordered.
    pub item: String,
    /// How many of it.
    pub quantity: u32,
}

/// An order to be placed.
#[derive(Debug, Clone, Serialize)]
pub struct NewOrder<'o> {
    /// What is ordered.
    pub item: &'o str,
    /// How many of it.
    pub quantity: u32,
}

/// What can go wrong, in the words of the application.
#[derive(Debug)]
#[non_exhaustive]
pub enum OrdersError {
    /// There is no such order.
    NotFound(u64),
    /// The shop refused the order, and says why.
    Refused(String),
    /// The shop has no time, even after the client's retries.
    Busy {
        /// When to ask again, if it said so.
        retry_after: Option<Duration>,
    },
    /// Everything else.
    Http(NetworkError),
}

impl OrdersApi {
    /// The API, through a client that has its base URL.
    pub fn new(http: Arc<dyn HttpClient>) -> Self {
        Self { http }
    }

    /// An order.
    ///
    /// # Errors
    /// [`NotFound`](OrdersError::NotFound), [`Busy`](OrdersError::Busy), and those of the client.
    pub async fn order(&self, id: u64) -> Result<Order, OrdersError> {
        let response = self.http.get(&format!("orders/{id}")).await?;
        match response.status {
            StatusCode::NOT_FOUND => Err(OrdersError::NotFound(id)),
            _ => Ok(accepted(response).await?.json().await?),
        }
    }

    /// Places an order. The key makes it safe to send it twice: the shop knows that it is the same, and the client
    /// retries a POST that has one.
    ///
    /// # Errors
    /// [`Refused`](OrdersError::Refused), [`Busy`](OrdersError::Busy), and those of the client.
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

/// The response, if it is none of the errors that every operation of the API has.
async fn accepted(response: HttpResponse) -> Result<HttpResponse, OrdersError> {
    /// RFC 9457.
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
            } => write!(f, "the shop is busy, ask again in {after:?}"),
            Self::Http(_) => f.write_str("the shop could not be asked"),
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
