//! The Secrets API: an HTTP-shaped request in, an operation, an HTTP-shaped answer out. Each host mounts it.
//!
//! | end point | scope | purpose |
//! |---|---|---|
//! | `POST /api/secrets` `{uri, value}` | `secrets.write` | write |
//! | `GET /api/secrets?uri` (`yaml://`, in development) | `secrets.read` | execute |
//! | `GET /api/secrets/value?uri[&version]` | `secrets.read` | execute |
//! | `DELETE /api/secrets?uri[&destroy=true]` | `secrets.delete`, or `secrets.destroy` | delete, or destroy_versions |
//! | `POST /api/secrets/rotate` `{uri, value}` | `secrets.rotate` | rotate |
//! | `GET /api/secrets/metadata/detail?uri`, `/versions?uri`, `/metadata?prefix`, `/keys?uri`, `/search?q&prefix` | `secrets.read_metadata` | read_metadata |
//! | `POST /api/secrets/undelete` `{uri, versions}` | `secrets.delete` | undelete |
//! | `POST /api/secrets/destroy-versions` `{uri, versions}` | `secrets.destroy` | destroy_versions |
//! | `POST /api/secrets/metadata/owner` `{uri, owner}` | `secrets.set_owner` | owner_update |
//! | `POST /api/secrets/bulk` `{operations, continueOnError}` | of each operation | of each operation |
//! | `POST /api/secrets/copy`, `/move` `{fromUri, toUri, overwrite}` | `secrets.read` and `secrets.write` | read of the source, write of the destination |
//! | `GET /api/secrets/events`, `/audit` (in development) | `secrets.read_metadata` | read_metadata |
//! | `GET /healthz`, `/readyz`, `/metrics`, `/openapi.json` | none | |
//!
//! A URI in a query is best sent by `curl -G --data-urlencode 'uri=openbao+kv2://secret/app/api#token'`: typed into
//! the address, its `+` arrives as a space, which is forgiven, and what follows its `#` is never sent at all. So
//! each answer says the URI that was understood.

mod answer;
mod body;
mod bulk;
mod openapi;
mod query;
mod request;
mod route;

use std::sync::Arc;

use baokit_core::Host;
use serde_json::json;
use zeroize::Zeroizing;

pub use self::answer::{Body, Response};
use self::query::Query;
pub use self::request::Request;
use self::route::{Found, Route, Target};
use crate::bearer::{Presented, certificate};
use crate::enforcer::{Enforcer, Who};
use crate::error::{Code, Error, Result};
use crate::operation::{Operation, Window};
use crate::policy::{MemoryStore, Store};
use crate::purpose::Purpose;
use crate::resource::Resource;

/// The paths of all end points, for a host that routes by them. A path with several methods comes once for each.
pub fn paths() -> impl Iterator<Item = &'static str> {
    route::ROUTES.iter().map(|route| route.path)
}

/// The Secrets API before an [`Enforcer`].
pub struct SecretsApi<H, S = MemoryStore> {
    enforcer: Arc<Enforcer<H, S>>,
}

impl<H, S> Clone for SecretsApi<H, S> {
    fn clone(&self) -> Self {
        Self { enforcer: self.enforcer.clone() }
    }
}

impl<H: Host, S: Store> SecretsApi<H, S> {
    /// The API before this enforcer.
    #[must_use]
    pub fn new(enforcer: Arc<Enforcer<H, S>>) -> Self {
        Self { enforcer }
    }

    /// What is behind it.
    #[must_use]
    pub fn enforcer(&self) -> &Enforcer<H, S> {
        &self.enforcer
    }

    /// Answers a request. Every answer has a status, and an error's says why in JSON.
    pub async fn handle(&self, mut request: Request<'_>) -> Response {
        let route = match route::find(request.method, request.path) {
            Found::Route(route) => route,
            Found::Nothing => return Response::error(&Error::new(Code::RouteNotFound), false),
            Found::OtherMethods(methods) => {
                return Response::error(&Error::new(Code::MethodNotAllowed), false).with("allow", methods);
            }
        };
        let result = if request.body.len() > Request::MAX_BODY {
            Err(Error::new(Code::BodyTooLarge))
        } else {
            self.answer(route, &mut request).await
        };
        result.unwrap_or_else(|error| Response::error(&error, self.enforcer.settings().public_url.is_some()))
    }

    async fn answer(&self, route: &Route, request: &mut Request<'_>) -> Result<Response> {
        let query = Query::parse(request.query, route.query)?;
        match route.target {
            Target::Health => return Ok(Response::json(200, &json!({"status": "ok"}))),
            Target::Ready => return Ok(self.ready().await),
            Target::Description => return Ok(Response::json(200, &openapi::document())),
            Target::Metrics => {
                let text = Zeroizing::new(self.enforcer.audit().metrics().render().into_bytes());
                return Ok(Response::new(200, "text/plain; version=0.0.4; charset=utf-8", text));
            }
            _ => {}
        }
        let (authorization, dpop) = (request.all("authorization"), request.all("dpop"));
        let sender_key = self.certificate(request)?;
        let mut who = match request.caller.take() {
            Some(caller) => Who::known(caller),
            None => {
                let mut presented = Presented::new(request.method, request.path);
                presented.authorization = &authorization;
                presented.dpop = &dpop;
                presented.certificate = sender_key.as_ref();
                Who::presented(presented, request.context(self.enforcer.settings()))
            }
        };
        self.serve(route, request, &query, &mut who).await
    }

    fn certificate(&self, request: &Request<'_>) -> Result<Option<crate::caller::SenderKey>> {
        let settings = self.enforcer.settings();
        let headers = settings.certificate_header.as_deref().map(|name| request.all(name)).unwrap_or_default();
        certificate::of_request(settings, request.certificate, request.peer, &headers)
    }

    async fn serve(
        &self,
        route: &Route,
        request: &Request<'_>,
        query: &Query<'_>,
        who: &mut Who<'_>,
    ) -> Result<Response> {
        let kind = request.header("content-type");
        let mut window = None;
        let (resource, operation) = match route.target {
            Target::Execute => {
                let resource = self.named(who, Purpose::Execute, query)?;
                // The development's way to read; the others have an end point of their own.
                if resource.provider() != "yaml" {
                    let error = Error::new(Code::OperationNotSupported).because("GET /api/secrets/value reads it");
                    return Err(self.enforcer.refuse(who, Purpose::Execute, Some(&resource), error));
                }
                (resource, Operation::Read)
            }
            Target::Value => (self.named(who, Purpose::Execute, query)?, Operation::Read),
            Target::Detail => (self.named(who, Purpose::ReadMetadata, query)?, Operation::Metadata),
            Target::Versions => (self.named(who, Purpose::ReadMetadata, query)?, Operation::Versions),
            Target::Keys => (self.named(who, Purpose::ReadMetadata, query)?, Operation::Keys),
            Target::Delete => {
                let operation = if query.flag("destroy")? { Operation::DestroyAll } else { Operation::Delete };
                (self.named(who, operation.purpose(), query)?, operation)
            }
            Target::List => {
                let shown = query.window()?;
                window = Some(shown);
                (self.below(who, query)?, Operation::List(shown))
            }
            Target::Search => {
                let shown = query.window()?;
                window = Some(shown);
                let text = query.require("q")?.to_owned();
                (self.below(who, query)?, Operation::Search(text, shown))
            }
            Target::Write | Target::Rotate => {
                let body: body::Value = body::read(kind, &request.body)?;
                let write = route.target == Target::Write;
                let operation = if write { Operation::Write(body.value) } else { Operation::Rotate(body.value) };
                (self.enforcer.secret(who, operation.purpose(), &body.uri, None, None)?, operation)
            }
            Target::Undelete | Target::Destroy => {
                let body: body::Versions = body::read(kind, &request.body)?;
                let brings = route.target == Target::Undelete;
                let operation =
                    if brings { Operation::Undelete(body.versions) } else { Operation::Destroy(body.versions) };
                (self.enforcer.secret(who, operation.purpose(), &body.uri, None, None)?, operation)
            }
            Target::Owner => {
                let body: body::Owner = body::read(kind, &request.body)?;
                let operation = Operation::SetOwner(body.owner);
                (self.enforcer.secret(who, operation.purpose(), &body.uri, None, None)?, operation)
            }
            Target::Bulk => return self.bulk(who, body::read(kind, &request.body)?).await,
            Target::Copy => return self.transfer(who, body::read(kind, &request.body)?, false).await,
            Target::Move => return self.transfer(who, body::read(kind, &request.body)?, true).await,
            Target::Events => return self.events(who, request.header("last-event-id")).await,
            Target::Audit => return self.latest(who, query).await,
            Target::Health | Target::Ready | Target::Metrics | Target::Description => {
                return Err(Error::new(Code::RouteNotFound));
            }
        };
        let uri = resource.as_str().to_owned();
        let outcome = self.enforcer.run(who, resource, operation).await?;
        Ok(answer::outcome(&uri, &self.enforcer.audit().references().of(&uri), &outcome, window))
    }

    fn named(&self, who: &Who<'_>, purpose: Purpose, query: &Query<'_>) -> Result<Resource> {
        self.enforcer.secret(who, purpose, query.require("uri")?, query.get("mount"), query.get("version"))
    }

    fn below(&self, who: &Who<'_>, query: &Query<'_>) -> Result<Resource> {
        let mount = query.get("mount");
        let prefix = if mount.is_some() { query.get("prefix").unwrap_or_default() } else { query.require("prefix")? };
        self.enforcer.prefix(who, prefix, mount)
    }

    async fn transfer(&self, who: &mut Who<'_>, body: body::Transfer, moves: bool) -> Result<Response> {
        let from = self.enforcer.secret(who, Purpose::Read, &body.from, None, None)?;
        let to = self.enforcer.secret(who, Purpose::Write, &body.to, None, None)?;
        let destination = to.as_str().to_owned();
        let (read, write) = self.enforcer.permit_both(who, from, to).await?;
        let outcome = self.enforcer.transfer(read, write, body.overwrite, moves).await?;
        Ok(answer::outcome(&destination, &self.enforcer.audit().references().of(&destination), &outcome, None))
    }

    async fn events(&self, who: &mut Who<'_>, after: Option<&str>) -> Result<Response> {
        let permit = self.enforcer.permit(who, Purpose::ReadMetadata, self.enforcer.tenant()).await?;
        // Where a subscriber that was cut off goes on; what is no number begins anew, as browsers expect.
        let after = after.and_then(|text| text.parse().ok());
        Ok(Response::events(self.enforcer.subscribe(permit, after)))
    }

    async fn latest(&self, who: &mut Who<'_>, query: &Query<'_>) -> Result<Response> {
        let resource = self.enforcer.tenant();
        if !self.enforcer.settings().is_development() {
            let error = Error::new(Code::OperationNotSupported).because("the audit is shown in development alone");
            return Err(self.enforcer.refuse(who, Purpose::ReadMetadata, Some(&resource), error));
        }
        let Window { offset, limit } = query.window()?;
        let permit = self.enforcer.permit(who, Purpose::ReadMetadata, resource).await?;
        self.enforcer.shown(permit);
        Ok(Response::json(200, &self.enforcer.audit().recent(query.get("filter"), offset, limit)))
    }

    async fn ready(&self) -> Response {
        match self.enforcer.ready().await {
            Ok(()) => Response::json(200, &json!({"status": "ready"})),
            Err(error) => Response::json(503, &answer::problem(&error)).failing(&error),
        }
    }
}
