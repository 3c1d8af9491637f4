//! Saboteurs of time limits, and of the bodies of failures.

use std::time::Duration;

use networking_spi::http::{HttpRequest, HttpResponse};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, Retryability};

use super::Saboteur;
use super::client::Head;

pub(super) fn before(saboteur: Saboteur, request: &mut HttpRequest, head: &Head) {
    let options = &mut request.options;
    let limits = [
        &mut options.timeout,
        &mut options.attempt_timeout,
        &mut options.total_timeout,
    ];
    for limit in limits {
        let Some(own) = *limit else { continue };
        *limit = match saboteur {
            Saboteur::TakesZeroForNoLimit if own.is_zero() => None,
            Saboteur::RoundsLimitsToNothing if !own.is_zero() && own < Duration::from_millis(1) => None,
            Saboteur::TimesOutLate if head.path == "/late" => Some(own * 50),
            Saboteur::TimesOutEarly if head.path == "/late" => Some(own / 2),
            _ => Some(own),
        };
    }
}

pub(super) async fn after(saboteur: Saboteur, mut response: HttpResponse, head: &Head) -> Result<HttpResponse> {
    match saboteur {
        Saboteur::CollectsErrorBodies if head.path == "/failing" => {
            response.body = response.body.collect(usize::MAX).await?.into();
        }
        Saboteur::HidesStatusesOfLargeBodies if head.path.starts_with("/missing/") => {
            return Err(NetworkError::new(
                ErrorKind::TooLarge,
                "http.request",
                "the body is too large",
            ));
        }
        _ => {}
    }
    Ok(response)
}

pub(super) fn on_error(saboteur: Saboteur, error: NetworkError, head: &Head) -> NetworkError {
    match saboteur {
        Saboteur::RetriesCertificates
            if error.kind() == ErrorKind::Tls && !head.path.is_empty() && head.path != "/" =>
        {
            error.with_retryability(Retryability::Now)
        }
        Saboteur::ConfusesPhases if head.path == "/late" => error.with_phase(Phase::Connect),
        Saboteur::ForgetsAttempts if head.path == "/exhausted" => error.with_attempts(1),
        Saboteur::RetriesTotalTimeouts if head.path == "/exhausted" => error.with_retryability(Retryability::Now),
        _ => error,
    }
}
