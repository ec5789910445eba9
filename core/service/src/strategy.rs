//! Operations on what a host's strategies serve: each is one of the strategy's own.

use baokit_core::{Code as CoreCode, Error as CoreError};

use crate::error::Result;
use crate::operation::{Operation, Outcome};
use crate::policy::pdp::ResourceAttributes;
use crate::providers::{Listed, Strategy};
use crate::resource::Resource;

/// Carries out what was permitted.
pub(crate) async fn carry_out(strategy: &dyn Strategy, resource: &Resource, operation: Operation) -> Result<Outcome> {
    let (reference, version) = resource.reference();
    if version.is_some() && !matches!(operation, Operation::Read) {
        // A strategy is not told of a version here, and would take the newest for the one that is meant.
        return Err(CoreError::new(CoreCode::VersionNotAllowed).about(resource.as_str().to_owned()).into());
    }
    Ok(match operation {
        Operation::Read => Outcome::Value(strategy.read(reference, version).await?),
        Operation::Write(value) => Outcome::Changed(strategy.write(reference, value).await?),
        Operation::Rotate(value) => Outcome::Changed(strategy.rotate(reference, value).await?),
        Operation::Delete => done(strategy.delete(reference).await)?,
        Operation::DestroyAll => done(strategy.destroy(reference).await)?,
        Operation::Undelete(versions) => done(strategy.undelete(reference, &versions).await)?,
        Operation::Destroy(versions) => done(strategy.destroy_versions(reference, &versions).await)?,
        Operation::Versions => Outcome::Versions(strategy.versions(reference).await?),
        Operation::Metadata => Outcome::Metadata(strategy.metadata(reference).await?),
        Operation::Keys => {
            let keys = strategy.keys(reference).await?;
            let total = keys.len();
            Outcome::Items(Listed::new(keys, total))
        }
        Operation::SetOwner(owner) => done(strategy.set_owner(reference, &owner).await)?,
        Operation::List(window) => Outcome::Items(strategy.list(reference, window.offset, window.limit).await?),
        Operation::Search(text, window) => {
            Outcome::Items(strategy.search(reference, &text, window.offset, window.limit).await?)
        }
    })
}

fn done(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Done)
}

/// What a PDP is told of it.
pub(crate) async fn attributes(strategy: &dyn Strategy, resource: &Resource) -> Result<ResourceAttributes> {
    let (reference, _) = resource.reference();
    Ok(ResourceAttributes::of(&strategy.attributes(reference).await?.unwrap_or_default()))
}
