//! The end points: one table, which requests are dispatched by and the OpenAPI document is made from.

use crate::purpose::Purpose;

/// An end point.
#[derive(Debug)]
pub(crate) struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub target: Target,
    /// What its operation takes; none where an operation says itself, or where there is nothing to guard.
    pub purpose: Option<Purpose>,
    pub summary: &'static str,
    pub query: &'static [&'static str],
    /// The name of its body's schema.
    pub body: Option<&'static str>,
    /// The name of its answer's schema.
    pub answer: &'static str,
}

/// What an end point does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Execute,
    Value,
    Write,
    Rotate,
    Delete,
    Detail,
    Versions,
    List,
    Keys,
    Search,
    Undelete,
    Destroy,
    Owner,
    Bulk,
    Copy,
    Move,
    Events,
    Audit,
    Health,
    Ready,
    Metrics,
    Description,
}

const fn get(
    path: &'static str,
    target: Target,
    purpose: Option<Purpose>,
    query: &'static [&'static str],
    answer: &'static str,
    summary: &'static str,
) -> Route {
    Route { method: "GET", path, target, purpose, summary, query, body: None, answer }
}

const fn post(
    path: &'static str,
    target: Target,
    purpose: Option<Purpose>,
    body: &'static str,
    answer: &'static str,
    summary: &'static str,
) -> Route {
    Route { method: "POST", path, target, purpose, summary, query: &[], body: Some(body), answer }
}

const WINDOW: &[&str] = &["prefix", "mount", "offset", "limit"];
const METADATA: Option<Purpose> = Some(Purpose::ReadMetadata);

/// All end points.
pub(crate) const ROUTES: &[Route] = &[
    get(
        "/api/secrets",
        Target::Execute,
        Some(Purpose::Execute),
        &["uri", "mount"],
        "Value",
        "The value of a secret of yaml://, in development",
    ),
    post("/api/secrets", Target::Write, Some(Purpose::Write), "Write", "Change", "Writes a new version"),
    Route {
        method: "DELETE",
        path: "/api/secrets",
        target: Target::Delete,
        purpose: Some(Purpose::Delete),
        summary: "Deletes the newest version, or with destroy=true every version and the metadata",
        query: &["uri", "mount", "destroy"],
        body: None,
        answer: "Done",
    },
    get(
        "/api/secrets/value",
        Target::Value,
        Some(Purpose::Execute),
        &["uri", "mount", "version"],
        "Value",
        "The value of a secret, or of the one key that the URI names",
    ),
    post("/api/secrets/rotate", Target::Rotate, Some(Purpose::Rotate), "Write", "Change", "Replaces a value"),
    get(
        "/api/secrets/metadata/detail",
        Target::Detail,
        METADATA,
        &["uri", "mount"],
        "Metadata",
        "Versions, settings and custom_metadata of a secret",
    ),
    get("/api/secrets/versions", Target::Versions, METADATA, &["uri", "mount"], "Versions", "The versions of a secret"),
    get("/api/secrets/metadata", Target::List, METADATA, WINDOW, "Items", "The names below a prefix"),
    get("/api/secrets/keys", Target::Keys, METADATA, &["uri", "mount"], "Items", "The names of a secret's keys"),
    get(
        "/api/secrets/search",
        Target::Search,
        METADATA,
        &["q", "prefix", "mount", "offset", "limit"],
        "Items",
        "The secrets below a prefix with a text in their path or owner",
    ),
    post(
        "/api/secrets/undelete",
        Target::Undelete,
        Some(Purpose::Undelete),
        "Numbers",
        "Done",
        "Brings deleted versions back",
    ),
    post(
        "/api/secrets/destroy-versions",
        Target::Destroy,
        Some(Purpose::DestroyVersions),
        "Numbers",
        "Done",
        "Destroys versions for good",
    ),
    post(
        "/api/secrets/metadata/owner",
        Target::Owner,
        Some(Purpose::OwnerUpdate),
        "Owner",
        "Done",
        "Says whose a secret is",
    ),
    post("/api/secrets/bulk", Target::Bulk, None, "Bulk", "Results", "Several operations in turn"),
    post("/api/secrets/copy", Target::Copy, Some(Purpose::Write), "Transfer", "Change", "Copies a secret"),
    post(
        "/api/secrets/move",
        Target::Move,
        Some(Purpose::Write),
        "Transfer",
        "Change",
        "Copies a secret, then deletes the version that was copied",
    ),
    get("/api/secrets/events", Target::Events, METADATA, &[], "Events", "The audit's events as they come"),
    get(
        "/api/secrets/audit",
        Target::Audit,
        METADATA,
        &["filter", "offset", "limit"],
        "Audit",
        "The audit's latest events, in development",
    ),
    get("/healthz", Target::Health, None, &[], "Health", "Whether the service runs"),
    get("/readyz", Target::Ready, None, &[], "Health", "Whether the service can reach its secrets"),
    get("/metrics", Target::Metrics, None, &[], "Text", "Metrics in the text format of Prometheus"),
    get("/openapi.json", Target::Description, None, &[], "OpenApi", "This description"),
];

/// What a path and a method lead to.
pub(crate) enum Found {
    Route(&'static Route),
    /// The path is there, with these methods.
    OtherMethods(String),
    Nothing,
}

/// Finds an end point. `HEAD` is answered as `GET`; its body is for the host to leave out.
pub(crate) fn find(method: &str, path: &str) -> Found {
    let method = if method == "HEAD" { "GET" } else { method };
    let there = || ROUTES.iter().filter(|route| route.path == path);
    match there().find(|route| route.method == method) {
        Some(route) => Found::Route(route),
        None if there().next().is_none() => Found::Nothing,
        None => Found::OtherMethods(allowed(there().map(|route| route.method))),
    }
}

/// The methods of a path, for the header `Allow`.
fn allowed(methods: impl Iterator<Item = &'static str>) -> String {
    methods.map(|method| if method == "GET" { "GET, HEAD" } else { method }).collect::<Vec<_>>().join(", ")
}
