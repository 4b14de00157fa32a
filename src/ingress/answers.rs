//! Answers that no pod gives: pages of errors, and redirects.

use super::bodies::{Body, empty, full};
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Response, StatusCode};

/// A page that says what a code means.
pub fn page(code: u16) -> Response<Body> {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("Error"));
    let text = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n<hr><center>coracle \
         ingress</center>\r\n</body>\r\n</html>\r\n"
    );
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

/// Sends elsewhere. What cannot stand in a header is an error of whoever wrote it.
pub fn redirect(code: u16, to: &str) -> Response<Body> {
    let Ok(to) = HeaderValue::try_from(to) else { return page(500) };
    let mut response = page(code);
    response.headers_mut().insert(LOCATION, to);
    response
}

/// An answer without a body.
pub fn bare(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = code;
    response
}
