//! A request as a host received it.

use std::net::IpAddr;

use zeroize::Zeroizing;

use crate::caller::{Caller, Context};
use crate::settings::Settings;

/// A request as a host received it: nothing decoded, nothing decided.
#[derive(Default)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The method, such as `GET`.
    pub method: &'a str,
    /// The path, as it came, without the query.
    pub path: &'a str,
    /// The query, as it came, without the question mark.
    pub query: &'a str,
    /// The headers, their names in lower case. What is no text is left out.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The body, which the host has bounded to [`Request::MAX_BODY`].
    pub body: Zeroizing<Vec<u8>>,
    /// Who connected: the caller, or the proxy before the service.
    pub peer: Option<IpAddr>,
    /// The client's certificate where the host ends TLS, in DER.
    pub certificate: Option<&'a [u8]>,
    /// The caller where the host has authenticated it itself; no token is looked at then.
    pub caller: Option<Caller>,
}

impl<'a> Request<'a> {
    /// Longest body, in bytes: a value of OpenBao's limit of 1 MiB with its escapes.
    pub const MAX_BODY: usize = 2 * 1024 * 1024;

    /// A request of this method and path.
    #[must_use]
    pub fn new(method: &'a str, path: &'a str, query: &'a str) -> Self {
        Self { method, path, query, ..Self::default() }
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&'a str> {
        self.headers.iter().filter(|(there, _)| *there == name).map(|(_, value)| *value).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(there, _)| *there == name).map(|(_, value)| *value)
    }

    /// What ties the request to others, from its headers.
    ///
    /// Which run, node and system asks are facts to a PDP and part of a grant, so that they are taken from a proxy of
    /// `TRUSTED_PROXY_CIDRS` alone: anybody else could claim them. Correlation and trace say nothing of who asks.
    pub(crate) fn context(&self, settings: &Settings) -> Context {
        let text = |name: &str| self.header(name).map(bounded).filter(|text| !text.is_empty());
        let trusted = |peer| settings.trusted_proxies.iter().any(|network| network.contains(peer));
        let is_trusted = self.peer.is_some_and(trusted);
        let fact = |name: &str| text(name).filter(|_| is_trusted);
        Context {
            correlation_id: text("x-correlation-id").or_else(|| text("x-request-id")),
            workflow_run_id: fact("x-workflow-run-id"),
            node_id: fact("x-node-id"),
            system_id: fact("x-system-id"),
            // version-traceid-parentid-flags
            trace_id: self.header("traceparent").and_then(|text| text.split('-').nth(1)).map(bounded),
        }
    }
}

/// At most 128 printable ASCII characters: more is no identifier, and would go into every log.
fn bounded(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(128).collect()
}
