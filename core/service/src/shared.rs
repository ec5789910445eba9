//! What crosses threads on hosts that have them, and need not where there is one thread: in a browser or on the
//! edge, where the host's objects are bound to it.

use std::pin::Pin;

/// What several threads may use at once, on hosts that have threads; anything elsewhere. Every type that qualifies
/// has it.
#[cfg(not(target_family = "wasm"))]
pub trait Shared: Send + Sync {}
#[cfg(not(target_family = "wasm"))]
impl<T: Send + Sync + ?Sized> Shared for T {}

/// What several threads may use at once, on hosts that have threads; anything elsewhere. Every type has it here.
#[cfg(target_family = "wasm")]
pub trait Shared {}
#[cfg(target_family = "wasm")]
impl<T: ?Sized> Shared for T {}

/// A future behind a pointer, which may move to another thread where there are threads.
#[cfg(not(target_family = "wasm"))]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A future behind a pointer.
#[cfg(target_family = "wasm")]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
