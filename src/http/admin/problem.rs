//! Errors as problem details (RFC 9457).

use std::collections::BTreeMap;

use actix_web::error::{JsonPayloadError, QueryPayloadError};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError, web};
use serde::Serialize;
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::runtime::control::ControlError;
use peerbroker_core::vocabulary::InvalidName;
use peerbroker_keys::{KeyError, TokenError};
use peerbroker_limits::LimitExceeded;

const MEDIA_TYPE: &str = "application/problem+json";

/// An error as problem details (RFC 9457).
#[derive(Debug, thiserror::Error, Serialize, ToSchema)]
#[error("{detail}")]
pub(super) struct Problem {
    /// Always `about:blank`: `status` gives the kind of error.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The reason phrase of the status.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// The error in this request.
    detail: String,
    /// The value of the `Retry-After` header.
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or_default();
        let status = status.as_u16();
        let detail = detail.into();
        Problem { kind: "about:blank", title, status, detail, retry_after: None }
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::FORBIDDEN, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    /// The log has the reason.
    pub(super) fn internal() -> Self {
        let detail = "an internal error; the log of the server has the reason";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }
}

/// Handles bodies that are not JSON or do not have the expected members.
pub(super) fn for_json(config: web::JsonConfig) -> web::JsonConfig {
    let is_json = |kind: mime::Mime| {
        kind.type_() == mime::APPLICATION && matches!(kind.subtype().as_str(), "json" | "merge-patch")
    };
    config.content_type(is_json).error_handler(|error, _| {
        let (status, detail) = match &error {
            JsonPayloadError::Deserialize(error) if error.is_data() => {
                (StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            }
            JsonPayloadError::Deserialize(error) => {
                (StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}"))
            }
            JsonPayloadError::ContentType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json".to_owned())
            }
            error => (error.status_code(), error.to_string()),
        };
        Problem::new(status, detail).into()
    })
}

pub(super) fn for_query() -> web::QueryConfig {
    web::QueryConfig::default().error_handler(|error, _| {
        let detail = match error {
            QueryPayloadError::Deserialize(why) => format!("in the query: {why}"),
            error => error.to_string(),
        };
        Problem::new(StatusCode::BAD_REQUEST, detail).into()
    })
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.content_type(MEDIA_TYPE);
        if let Some(seconds) = self.retry_after {
            // A client over the limit needs a new connection for each guess.
            response.force_close().insert_header((header::RETRY_AFTER, seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED.as_u16() {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.json(self)
    }
}

impl IntoResponses for Problem {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let body = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new().description("An error.").content(MEDIA_TYPE, body);
        BTreeMap::from([("default".to_owned(), response.build().into())])
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        ControlError::Keys(error).into()
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        use ControlError::{
            Auth, BuiltIn, ConfiguredBan, Keys, Name, NoBan, NotKept, Rooms, Token, TooManyBans, Webhook,
        };
        let status = match &error {
            Keys(why) | NotKept(_, why) if why.is_full() => {
                log::error!("{error}");
                StatusCode::INSUFFICIENT_STORAGE
            }
            NotKept(..) => {
                log::error!("{error}");
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Keys(KeyError::Store(_)) => {
                log::error!("{error}");
                return Problem::internal();
            }
            Keys(KeyError::Unknown(_)) | Token(TokenError::Unknown) | NoBan(_) => StatusCode::NOT_FOUND,
            Name(_) | Auth(_) | Webhook(_) | Rooms(_) | Token(TokenError::NoName | TokenError::NoScope) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Keys(KeyError::Exists(_)) | BuiltIn(_) | Token(_) | ConfiguredBan | TooManyBans => {
                StatusCode::CONFLICT
            }
        };
        Problem::new(status, error.to_string())
    }
}

impl From<LimitExceeded> for Problem {
    fn from(too_many: LimitExceeded) -> Self {
        let detail = "too many wrong tokens from this address: wait, or send the right one";
        let retry_after = Some(too_many.seconds());
        Problem { retry_after, ..Problem::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }
}

impl From<InvalidName> for Problem {
    fn from(error: InvalidName) -> Self {
        Problem::unprocessable(format!("key: {error}"))
    }
}
