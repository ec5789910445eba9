//! What a backend answers, and how it becomes the server's JSON envelope.

use super::Response;
use crate::json::Json;

/// A success, or a quiet failure.
pub(crate) enum Answer {
    /// 204.
    Nothing,
    /// 404 with an empty list of errors.
    Missing,
    /// 404 without a body.
    MissingBare,
    /// The envelope.
    Body(Box<Body>),
    /// JSON without an envelope.
    Plain(u16, Json),
}

/// The envelope.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) status: u16,
    pub(crate) data: Json,
    pub(crate) auth: Json,
    pub(crate) wrap_info: Json,
    pub(crate) warnings: Vec<String>,
    pub(crate) lease: u64,
    /// The old end points of sys repeat their data at the top level.
    pub(crate) flat: bool,
    /// Unwrapped answers come as they were stored, without the final newline.
    pub(crate) unwrapped: bool,
}

impl Body {
    pub(crate) fn data(data: Json) -> Body {
        Body {
            status: 200,
            data,
            auth: Json::Null,
            wrap_info: Json::Null,
            warnings: Vec::new(),
            lease: 0,
            flat: false,
            unwrapped: false,
        }
    }

    pub(crate) fn auth(auth: Json) -> Body {
        Body { auth, ..Body::data(Json::Null) }
    }

    pub(crate) fn warn(mut self, warnings: impl IntoIterator<Item = String>) -> Body {
        self.warnings.extend(warnings);
        self
    }

    pub(crate) fn status(mut self, status: u16) -> Body {
        self.status = status;
        self
    }

    pub(crate) fn flat(mut self) -> Body {
        self.flat = true;
        self
    }

    pub(crate) fn write(self, request_id: String) -> Json {
        let mut pairs = Vec::new();
        if let (true, Json::Object(data)) = (self.flat, &self.data) {
            pairs.extend(data.iter().cloned());
        }
        // A wrapped answer has no id of its own.
        let request_id = if self.wrap_info == Json::Null { request_id } else { String::new() };
        let warnings = if self.warnings.is_empty() { Json::Null } else { Json::texts(self.warnings) };
        pairs.extend(
            [
                ("request_id", Json::Text(request_id)),
                ("lease_id", Json::text("")),
                ("renewable", Json::Bool(false)),
                ("lease_duration", Json::int(self.lease)),
                ("data", self.data),
                ("wrap_info", self.wrap_info),
                ("warnings", warnings),
                ("auth", self.auth),
            ]
            .map(|(k, v)| (k.to_owned(), v)),
        );
        Json::Object(pairs)
    }
}

impl From<Body> for Answer {
    fn from(body: Body) -> Answer {
        Answer::Body(Box::new(body))
    }
}

/// A failure with a text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(status: u16, text: impl Into<String>) -> Fault {
        Fault { status, text: text.into() }
    }

    /// 400.
    pub(crate) fn bad(text: impl Into<String>) -> Fault {
        Fault::new(400, text)
    }

    /// The form in which the server reports what its layers return as an error.
    pub(crate) fn wrapped(status: u16, text: impl AsRef<str>) -> Fault {
        Fault::new(status, format!("1 error occurred:\n\t* {}\n\n", text.as_ref()))
    }

    /// An unknown or dead token.
    pub(crate) fn no_token() -> Fault {
        Fault::new(403, "permission denied")
    }

    /// A missing right.
    pub(crate) fn denied() -> Fault {
        Fault::wrapped(403, "permission denied")
    }

    pub(crate) fn unsupported_path() -> Fault {
        Fault::wrapped(404, "unsupported path")
    }

    pub(crate) fn unsupported_operation() -> Fault {
        Fault::wrapped(405, "unsupported operation")
    }
}

pub(crate) type Outcome = Result<Answer, Fault>;

/// An answer with the headers that every answer of the API has.
pub(crate) fn response(status: u16, body: Option<&Json>) -> Response {
    let mut text = String::new();
    if let Some(body) = body {
        text = body.write();
        text.push('\n');
    }
    let headers = [
        ("Cache-Control", "no-store"),
        ("Content-Type", "application/json"),
        ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ];
    let headers = headers.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
    Response { status, headers, body: text.into_bytes() }
}

/// The server's list of errors.
pub(crate) fn errors(status: u16, text: Option<&str>) -> Response {
    let list = Json::texts(text);
    response(status, Some(&Json::object([("errors", list)])))
}
