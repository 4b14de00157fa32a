//! What a client takes: the media type of answers and the form of objects, out of `Accept`.
//!
//! Source of the rules: k8s.io/apiserver `pkg/endpoints/handlers/negotiation`.

use super::answer::{self, Answer};
use super::form::Form;
use super::identity::Attributes;
use crate::api::{Kind, Reason, Status, protobuf, yaml};
use axum::body::{Body, HttpBody};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;
use serde_json::Value;

/// The media types of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    #[default]
    Json,
    Yaml,
    Protobuf,
}

/// What is best of what a client takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    pub media: Media,
    pub form: Form,
}

impl Accepted {
    /// For an answer about objects of a kind.
    pub fn for_kind(headers: &HeaderMap, kind: &Kind, wanted: &Attributes) -> Result<Self, Status> {
        if !headers.contains_key(header::ACCEPT) {
            return Ok(Self::default());
        }
        let (has_protobuf, is_watch) = (has_protobuf(kind, wanted), wanted.verb == "watch");
        match Self::of(headers, has_protobuf) {
            // What is answered and forgotten has no other form than its own.
            Some(accepted)
                if !(is_watch && accepted.media == Media::Yaml)
                    && (accepted.form == Form::Plain || !super::route::is_question(kind)) =>
            {
                Ok(accepted)
            }
            _ => {
                let mut known = vec!["application/json", "application/yaml", protobuf::MEDIA];
                known.retain(|media| {
                    (has_protobuf || *media != protobuf::MEDIA) && !(is_watch && media.ends_with("yaml"))
                });
                let message = format!("only the following media types are accepted: {}", known.join(", "));
                Err(Status::new(Reason::NotAcceptable, message))
            }
        }
    }

    /// The first entry of the highest quality that can be had; JSON if nothing is said.
    pub fn of(headers: &HeaderMap, has_protobuf: bool) -> Option<Self> {
        let text = headers.get(header::ACCEPT).map(|value| value.to_str().unwrap_or_default()).unwrap_or_default();
        if text.trim().is_empty() {
            return Some(Self::default());
        }
        let mut entries: Vec<(f32, &str)> = text.split(',').map(|entry| (quality(entry), entry)).collect();
        entries.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        entries.into_iter().find_map(|(_, entry)| Self::of_entry(entry, has_protobuf))
    }

    fn of_entry(entry: &str, has_protobuf: bool) -> Option<Self> {
        let mut parts = entry.split(';').map(str::trim);
        let media = match parts.next()? {
            "application/json" | "application/*" | "*/*" => Media::Json,
            "application/yaml" => Media::Yaml,
            protobuf::MEDIA => Media::Protobuf,
            _ => return None,
        };
        let form = match parts.find_map(|part| part.strip_prefix("as=")) {
            None => Form::Plain,
            Some("Table") => Form::Table,
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Form::Metadata,
            Some(_) => return None,
        };
        // Metadata is the same message for every kind; a table has none.
        let is_there = match form {
            Form::Plain => has_protobuf,
            Form::Metadata => true,
            Form::Table => false,
        };
        (media != Media::Protobuf || is_there).then_some(Self { media, form })
    }
}

/// Whether objects of a kind have a protobuf form in the version that is asked for.
pub fn has_protobuf(kind: &Kind, wanted: &Attributes) -> bool {
    protobuf::knows(&wanted.api_version(), &kind.kind)
}

fn quality(entry: &str) -> f32 {
    let given = entry.split(';').find_map(|part| part.trim().strip_prefix("q="));
    given.and_then(|text| text.parse().ok()).unwrap_or(1.0)
}

/// A JSON answer in another media type. What streams, and what is no object, stays as it is.
pub async fn recoded(answer: Answer, media: Media) -> Answer {
    let is_json = answer.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json");
    if media == Media::Json || !is_json || answer.body().size_hint().exact().is_none() {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => return answer::failure(&Status::internal(error)),
    };
    let (body, media) = match recode(&bytes, media) {
        Ok(Some((body, media))) => (body.into(), media),
        Ok(None) => (Body::from(bytes), "application/json"),
        Err(status) => return answer::failure(&status),
    };
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    parts.headers.remove(header::CONTENT_LENGTH);
    Answer::from_parts(parts, body)
}

fn recode(bytes: &[u8], media: Media) -> Result<Option<(Vec<u8>, &'static str)>, Status> {
    let value: Value = serde_json::from_slice(bytes).map_err(Status::internal)?;
    match media {
        Media::Json => Ok(None),
        Media::Yaml => {
            let text = yaml::to_text(&value).map_err(Status::internal)?;
            Ok(Some((text.into_bytes(), "application/yaml")))
        }
        Media::Protobuf => match protobuf::encode(&value) {
            Ok(bytes) => Ok(Some((bytes, protobuf::MEDIA))),
            Err(protobuf::Error::Unknown { .. }) => Ok(None),
            Err(error) => Err(Status::internal(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(accept: &str, has_protobuf: bool) -> Option<(Media, Form)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        Accepted::of(&headers, has_protobuf).map(|accepted| (accepted.media, accepted.form))
    }

    #[test]
    fn the_first_that_is_known_counts() {
        assert_eq!(wanted("application/json", true), Some((Media::Json, Form::Plain)));
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(wanted(table, true), Some((Media::Json, Form::Table)));
        let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        assert_eq!(wanted(metadata, true), Some((Media::Json, Form::Metadata)));
        assert_eq!(wanted("text/html, */*;q=0.1", true), Some((Media::Json, Form::Plain)));
        assert_eq!(wanted("text/html", true), None);
    }

    #[test]
    fn quality_goes_before_order() {
        let accept = "application/json;q=0.5,application/vnd.kubernetes.protobuf";
        assert_eq!(wanted(accept, true), Some((Media::Protobuf, Form::Plain)));
    }

    #[test]
    fn what_has_no_message_falls_to_the_next() {
        let table = "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json;as=Table,application/json";
        assert_eq!(wanted(table, true), Some((Media::Json, Form::Table)));
        let custom = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(wanted(custom, false), Some((Media::Json, Form::Plain)));
        assert_eq!(wanted("application/vnd.kubernetes.protobuf", false), None);
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        assert_eq!(wanted(metadata, false), Some((Media::Protobuf, Form::Metadata)));
    }

    use crate::control::server::tests::server;
    use http::{Method, Request, StatusCode};
    use serde_json::json;

    /// A request as a client without types would send it.
    fn request(method: Method, path: &str, accept: &str, body: Vec<u8>) -> Request<kube::client::Body> {
        let request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
        request.header(header::CONTENT_TYPE, protobuf::MEDIA).body(kube::client::Body::from(body)).unwrap()
    }

    const MAPS: &str = "/api/v1/namespaces/default/configmaps";

    #[tokio::test]
    async fn a_client_of_protobuf_creates_reads_lists_and_is_refused_in_protobuf() {
        let test = server().await;
        let client = test.admin();
        let ask = async |method: Method, path: &str, body: Vec<u8>| {
            let answer = client.send(request(method, path, protobuf::MEDIA, body)).await.unwrap();
            assert_eq!(answer.headers()[header::CONTENT_TYPE], protobuf::MEDIA);
            let code = answer.status();
            (code, protobuf::decode(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap())
        };
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
        let (code, made) = ask(Method::POST, MAPS, protobuf::encode(&map).unwrap()).await;
        assert_eq!((code, &made["data"]), (StatusCode::CREATED, &map["data"]));
        let (_, read) = ask(Method::GET, &format!("{MAPS}/a"), vec![]).await;
        assert_eq!(read, made);
        let (_, list) = ask(Method::GET, MAPS, vec![]).await;
        assert_eq!(
            (&list["kind"], &list["items"][0]["metadata"]["uid"]),
            (&json!("ConfigMapList"), &made["metadata"]["uid"])
        );
        let (code, missing) = ask(Method::GET, &format!("{MAPS}/b"), vec![]).await;
        assert_eq!((code, &missing["reason"]), (StatusCode::NOT_FOUND, &json!("NotFound")));
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "other"}});
        let (code, _) = ask(Method::DELETE, &format!("{MAPS}/a"), protobuf::encode(&options).unwrap()).await;
        assert_eq!(code, StatusCode::CONFLICT);
    }

    #[tokio::test]
    async fn a_watch_in_protobuf_sends_frames() {
        let test = server().await;
        let path = "/api/v1/namespaces?watch=true&fieldSelector=metadata.name%3Ddefault";
        let answer = test.admin().send(request(Method::GET, path, protobuf::MEDIA, vec![])).await.unwrap();
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/vnd.kubernetes.protobuf;stream=watch");
        let frame = answer.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame.len() - 4, u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize);
        // `type` is field 1: a tag, a length, the word.
        assert_eq!(&frame[4..11], b"\x0a\x05ADDED");
        let at = memchr::memmem::find(&frame, b"k8s\0").unwrap();
        assert_eq!(protobuf::decode(&frame[at..]).unwrap()["metadata"]["name"], "default");
    }

    #[tokio::test]
    async fn what_is_not_stored_has_no_table() {
        let test = server().await;
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}});
        let mut asked =
            request(Method::POST, path, "application/json;as=Table;v=v1;g=meta.k8s.io", review.to_string().into());
        asked.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = test.admin().send(asked).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_ACCEPTABLE);
    }

    #[tokio::test]
    async fn what_cannot_be_sent_or_read_is_refused() {
        let test = server().await;
        let answer = test.admin().send(request(Method::GET, MAPS, "image/png", vec![])).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_ACCEPTABLE);
        let mut unknown = request(Method::POST, MAPS, "application/json", vec![]);
        unknown.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let answer = test.admin().send(unknown).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let status: Value = serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
        let expected = "the body of the request was in an unknown format - accepted media types include: \
            application/json, application/yaml, application/vnd.kubernetes.protobuf";
        assert_eq!(status["message"], expected);
    }
}
