//! What a native program brings to policy enforcement (`baokit-service`): where its audit goes, and the providers
//! that are files. With the feature `service`.

#[cfg(unix)]
mod files;
mod front;
mod sinks;
mod yaml;

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

pub use baokit_service::*;
use zeroize::{Zeroize, Zeroizing};

#[cfg(unix)]
pub use files::FileStrategy;
pub use front::{AnyStore, Enforcer, EnforcerBuilder};
pub use sinks::{JsonLines, TracingSink};
pub use yaml::YamlStrategy;

use crate::host::NativeHost;

/// The Secrets API before an [`Enforcer`]: what [`crate::axum::router`] serves. Clones share it.
#[derive(Clone)]
pub struct SecretsApi(baokit_service::SecretsApi<NativeHost, AnyStore>);

impl SecretsApi {
    /// The API before this enforcer.
    #[must_use]
    pub fn new(enforcer: Enforcer) -> Self {
        Self(baokit_service::SecretsApi::new(Arc::clone(&enforcer.0)))
    }

    /// Answers a request, for a host that is none of those baokit knows. Every answer has a status, and an error's
    /// says why in JSON.
    pub async fn handle(&self, request: api::Request<'_>) -> api::Response {
        self.0.handle(request).await
    }
}

/// Longest file that a provider reads, in bytes: what OpenBao stores, 1 MiB.
const MAX_FILE: usize = 1024 * 1024;

/// The whole text of a small file, in one allocation that is wiped.
fn content(file: File) -> Result<Zeroizing<String>> {
    let announced = usize::try_from(file.metadata().map_err(|error| failed(&error))?.len()).unwrap_or(usize::MAX);
    let too_long = || Error::new(Code::ProviderFailed).because("the file is longer than 1 MiB");
    if announced > MAX_FILE {
        return Err(too_long());
    }
    // One byte more tells that it grew; another keeps the vector from growing, and leaving a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(announced + 2));
    file.take(announced as u64 + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() > announced {
        return Err(Error::new(Code::ProviderFailed).because("the file grew while it was read"));
    }
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|error| {
        error.into_bytes().zeroize();
        Error::new(Code::ProviderFailed).because("the file is not UTF-8")
    })
}

/// What the system said, without the path: the kind of error is one of a few fixed texts.
fn failed(error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        return core(baokit_core::Code::SecretNotFound);
    }
    Error::new(Code::ProviderFailed).because(error.kind().to_string())
}

fn core(code: baokit_core::Code) -> Error {
    baokit_core::Error::new(code).into()
}

/// Runs what waits for a disk where it holds up nobody.
async fn blocking<T: Send + 'static>(read: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let stopped = || Error::new(Code::ProviderFailed).because("the runtime is at its end");
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Err(stopped()))
}
