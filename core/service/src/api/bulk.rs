//! Several operations in one request, each behind all checks, each with a result of its own.

use baokit_core::Host;
use serde_json::{Value, json};

use super::SecretsApi;
use super::answer::Response;
use super::body::{Bulk, MAX_BULK, One};
use crate::enforcer::Who;
use crate::error::{Code, Error, Result};
use crate::operation::{Operation, Outcome};
use crate::policy::Store;
use crate::providers::Changed;

const LEFT_OUT: &str = "an operation before it failed; continueOnError would go on";

impl One {
    fn into_parts(self) -> (&'static str, String, Operation) {
        match self {
            Self::Set { uri, value } => ("set", uri, Operation::Write(value)),
            Self::Rotate { uri, value } => ("rotate", uri, Operation::Rotate(value)),
            Self::Delete { uri } => ("delete", uri, Operation::Delete),
            Self::Undelete { uri, versions } => ("undelete", uri, Operation::Undelete(versions)),
            Self::Destroy { uri, versions: Some(versions) } => ("destroy", uri, Operation::Destroy(versions)),
            Self::Destroy { uri, versions: None } => ("destroy", uri, Operation::DestroyAll),
            Self::Owner { uri, owner } => ("owner", uri, Operation::SetOwner(owner)),
        }
    }
}

impl<H: Host, S: Store> SecretsApi<H, S> {
    /// Carries the operations out in turn; after one that failed the others are left out, unless they are to go on.
    pub(super) async fn bulk(&self, who: &mut Who<'_>, bulk: Bulk) -> Result<Response> {
        if !(1..=MAX_BULK).contains(&bulk.operations.len()) {
            let reason = format!("a bulk request has 1 to {MAX_BULK} operations");
            return Err(Error::new(Code::InvalidRequest).because(reason));
        }
        let mut results = Vec::with_capacity(bulk.operations.len());
        let (mut is_over, mut failure) = (false, None);
        for one in bulk.operations {
            let (name, uri, operation) = one.into_parts();
            if !results.is_empty() {
                // A URI is refused to anybody; a hundred of them are told of to somebody only.
                self.enforcer.authenticate(who, operation.purpose()).await?;
            }
            if is_over {
                results
                    .push(json!({"op": name, "uri": uri, "status": 424, "code": "NOT_ATTEMPTED", "message": LEFT_OUT}));
                continue;
            }
            let (uri, result) = self.one(who, uri, operation).await;
            // Nothing was done for a caller who was refused as such, and the others would be refused too.
            if let Some(error) = who.refusal() {
                return Err(error.clone());
            }
            is_over = result.is_err() && !bulk.continue_on_error;
            failure = failure.or(result.as_ref().err().cloned());
            results.push(told(name, &uri, &result));
        }
        let mut answer = Response::json(200, &json!({"results": results}));
        // The first of them: the others are in the audit.
        answer.failure = failure;
        Ok(answer)
    }

    async fn one(&self, who: &mut Who<'_>, uri: String, operation: Operation) -> (String, Result<Outcome>) {
        match self.enforcer.secret(who, operation.purpose(), &uri, None, None) {
            Ok(resource) => {
                let canonical = resource.as_str().to_owned();
                (canonical, self.enforcer.run(who, resource, operation).await)
            }
            Err(error) => (uri, Err(error)),
        }
    }
}

fn told(name: &str, uri: &str, result: &Result<Outcome>) -> Value {
    match result {
        Ok(Outcome::Changed(Changed { old_version, new_version, .. })) => {
            json!({"op": name, "uri": uri, "status": 200, "old_version": old_version, "new_version": new_version})
        }
        Ok(_) => json!({"op": name, "uri": uri, "status": 200}),
        Err(error) => {
            let code = error.code();
            json!({"op": name, "uri": uri, "status": code.status(), "code": code.as_str(), "message": error.outward()})
        }
    }
}
