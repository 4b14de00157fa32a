//! Somebody else decides who is let in: `auth-url` is asked about every request.

use super::answers;
use super::bodies::{Body, full};
use super::headers::{self, Asked};
use super::settings::Outside;
use super::variables::{Text, Values, escape};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use std::time::Duration;

/// How long the other may take to decide.
const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(5);
/// The most that is passed on of what the other says to a client that is refused.
const ANSWER: usize = 64 * 1024;

/// What the other said.
pub enum Verdict {
    /// Let in, with these headers for the pod, and these cookies for the client.
    Admitted { headers: Vec<(HeaderName, HeaderValue)>, cookies: Vec<HeaderValue> },
    /// This is the answer.
    Refused(Response<Body>),
}

/// Who asks.
pub struct Asker(Option<reqwest::Client>);

impl Default for Asker {
    fn default() -> Self {
        crate::base::crypto::install();
        // As nginx does, which checks no certificates unless it is told whose.
        let builder = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(PATIENCE);
        Self(builder.build().ok())
    }
}

impl Asker {
    /// Asks about a request.
    pub async fn ask(&self, outside: &Outside, url: &Text, asked: &Asked, request: &HeaderMap) -> Verdict {
        let values = asked.values(request, &[]);
        let Some(client) = &self.0 else { return Verdict::Refused(answers::page(500)) };
        let method = outside.method.clone().unwrap_or(Method::GET);
        let question = client.request(method, url.fill(&values)).headers(question(outside, asked, request, &values));
        let answer = match question.send().await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(error = crate::base::causes::chain(&error), "who decides on access does not answer");
                return Verdict::Refused(answers::page(500));
            }
        };
        match answer.status() {
            code if code.is_success() => {
                let found = answer.headers();
                let named =
                    outside.answer_headers.iter().filter_map(|name| Some((name.clone(), found.get(name)?.clone())));
                let cookies = found.get_all(header::SET_COOKIE).iter().cloned().collect();
                Verdict::Admitted { headers: named.collect(), cookies }
            }
            StatusCode::UNAUTHORIZED => match &outside.sign_in {
                Some(sign_in) => Verdict::Refused(answers::redirect(302, &place(sign_in, outside, asked, &values))),
                None => Verdict::Refused(passed_on(answer).await),
            },
            StatusCode::FORBIDDEN => Verdict::Refused(passed_on(answer).await),
            // As nginx: whoever does not decide is broken.
            _ => Verdict::Refused(answers::page(500)),
        }
    }
}

/// What the other is told of the request.
fn question(outside: &Outside, asked: &Asked, request: &HeaderMap, values: &Values) -> HeaderMap {
    let mut question = request.clone();
    headers::strip(&mut question);
    let about_body = [header::CONTENT_LENGTH, header::HOST, header::EXPECT, header::ACCEPT_ENCODING];
    about_body.iter().for_each(|name| drop(question.remove(name)));
    let redirect = outside.redirect.as_ref().map_or_else(|| asked.request_uri.clone(), |text| text.fill(values));
    let client = asked.client.to_string();
    let said: [(&'static str, &str); 9] = [
        ("x-request-id", &asked.request_id),
        ("x-real-ip", &client),
        ("x-forwarded-for", &client),
        ("x-forwarded-proto", &asked.scheme),
        ("x-forwarded-host", &asked.host_header),
        ("x-original-url", &format!("{}://{}{}", asked.scheme, asked.host_header, asked.request_uri)),
        ("x-original-method", asked.method.as_str()),
        ("x-sent-from", "nginx-ingress-controller"),
        ("x-auth-request-redirect", &redirect),
    ];
    for (name, value) in said {
        if let Ok(value) = HeaderValue::try_from(value) {
            question.insert(HeaderName::from_static(name), value);
        }
    }
    outside.headers.iter().for_each(|(name, value)| drop(question.insert(name.clone(), value.clone())));
    question
}

/// Where to sign in, and where to go after that.
fn place(sign_in: &Text, outside: &Outside, asked: &Asked, values: &Values) -> String {
    let url = sign_in.fill(values);
    let parameter = outside.sign_in_parameter.as_deref().unwrap_or("rd");
    let query = url.split_once('?').map_or("", |(_, query)| query);
    if query.split('&').any(|pair| pair.split('=').next() == Some(parameter)) {
        return url;
    }
    let sign = if url.contains('?') { '&' } else { '?' };
    let back = format!("{}://{}{}", asked.scheme, asked.host_header, asked.request_uri);
    format!("{url}{sign}{parameter}={}", escape(&back))
}

async fn passed_on(mut answer: reqwest::Response) -> Response<Body> {
    let mut response = answers::bare(answer.status());
    for name in [header::WWW_AUTHENTICATE, header::SET_COOKIE, header::CONTENT_TYPE] {
        for value in answer.headers().get_all(&name) {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    let mut text = Vec::new();
    while let Ok(Some(part)) = answer.chunk().await {
        if text.len() + part.len() > ANSWER {
            break;
        }
        text.extend_from_slice(&part);
    }
    *response.body_mut() = full(text);
    response
}
