//! Where a PDP's end points are: its metadata (AuthZEN 1.0, section 9), or the paths that the standard names.

use baokit_core::Host;
use baokit_core::http::{Method, Request};
use serde::Deserialize;

use super::{Pdp, json, send, unreachable};
use crate::error::Result;
use crate::settings::Endpoint;

const WELL_KNOWN: &str = "/.well-known/authzen-configuration";

/// The targets of requests to a PDP.
#[derive(Clone)]
pub(super) struct EndPoints {
    pub one: String,
    /// None where the PDP's metadata does not name it: it takes no batches.
    pub many: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    policy_decision_point: String,
    access_evaluation_endpoint: String,
    access_evaluations_endpoint: Option<String>,
}

impl Pdp {
    /// The end points, as they were found before or are found now. They are kept until one of them answers 404.
    pub(super) async fn end_points<H: Host>(&self, host: &H) -> Result<EndPoints> {
        let known = self.state().end_points.clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = self.discover(host).await?;
        self.state().end_points = Some(found.clone());
        Ok(found)
    }

    async fn discover<H: Host>(&self, host: &H) -> Result<EndPoints> {
        // Between host and path (section 9.2), as RFC 8615 wants it.
        let path = self.url.path();
        let target = format!("{WELL_KNOWN}{}", path.strip_suffix('/').unwrap_or(path));
        let request =
            Request::new(Method::Get, self.url.origin().clone(), target).with_header("accept", "application/json");
        let response = send(host, request, "the PDP").await?;
        match response.status() {
            404 => {
                let below = |path| self.url.join(path);
                Ok(EndPoints { one: below("/access/v1/evaluation"), many: Some(below("/access/v1/evaluations")) })
            }
            200 => {
                let response = json(response, "the PDP's discovery")?;
                let malformed =
                    |_| unreachable("its metadata lacks policy_decision_point or access_evaluation_endpoint");
                self.check(serde_json::from_slice(response.body()).map_err(malformed)?)
            }
            status => Err(unreachable(format!("its discovery answers with status {status}"))),
        }
    }

    /// Metadata counts where they are the configured PDP's (section 9.2.3), and where nothing that they name would
    /// carry a question or a credential elsewhere.
    fn check(&self, metadata: Metadata) -> Result<EndPoints> {
        let bare = |endpoint: &Endpoint| endpoint.path().trim_end_matches('/').to_owned();
        let named = Endpoint::parse(&metadata.policy_decision_point).ok();
        let is_it = |named: &Endpoint| named.origin() == self.url.origin() && bare(named) == bare(&self.url);
        if !named.as_ref().is_some_and(is_it) {
            return Err(unreachable("its metadata are of another policy_decision_point than PDP_URL"));
        }
        let target = |text: &str| match Endpoint::parse(text) {
            Ok(endpoint) if endpoint.origin() == self.url.origin() => Ok(endpoint.join("")),
            _ => Err(unreachable("its metadata name an end point of another origin than PDP_URL")),
        };
        Ok(EndPoints {
            one: target(&metadata.access_evaluation_endpoint)?,
            many: metadata.access_evaluations_endpoint.as_deref().map(target).transpose()?,
        })
    }
}
