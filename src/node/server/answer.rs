//! Answers of the kubelet API: mostly plain text, as upstream has it.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// What the server answers with.
pub type Answer = Response<Body>;

/// Plain text.
pub fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    of_type(status, "text/plain; charset=utf-8", Body::from(text.into()))
}

/// A body of some type.
pub fn of_type(status: StatusCode, media: &'static str, body: Body) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// A JSON document.
pub fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => of_type(StatusCode::OK, "application/json", Body::from(bytes)),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
