//! Answers: objects, lists and failures as HTTP responses.

use crate::api::Status;
use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::Value;

/// What the server answers with.
pub type Answer = Response<Body>;

/// JSON that is serialized already.
pub fn bytes(code: StatusCode, body: impl Into<Bytes>) -> Answer {
    json(code, Body::from(body.into()))
}

/// JSON as a body.
pub fn json(code: StatusCode, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = code;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}

/// A JSON value.
pub fn value(code: StatusCode, value: &Value) -> Answer {
    bytes(code, value.to_string())
}

/// Plain text.
pub fn text(body: impl Into<String>) -> Answer {
    let mut answer = Response::new(Body::from(body.into()));
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// A failure.
pub fn failure(status: &Status) -> Answer {
    let code = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = value(code, &status.to_value());
    if status.retry_after_seconds > 0 {
        answer.headers_mut().insert(header::RETRY_AFTER, status.retry_after_seconds.into());
    }
    answer
}

/// Adds `Warning` headers, as RFC 7234 has them.
pub fn warn(answer: &mut Answer, warnings: &[String]) {
    for warning in warnings {
        let text = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = header::HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            answer.headers_mut().append(header::WARNING, value);
        }
    }
}
