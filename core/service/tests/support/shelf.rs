//! A provider of the host's own, for tests of what is not OpenBao's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use baokit_service::providers::{BoxFuture, Found, Listed, Providers, Strategy};
use serde_json::json;

use super::scenario::CANARY_VALUE;

/// A provider of the host's own that has one value, counts how often it is read, and lists what it was asked for.
#[derive(Clone, Default)]
pub struct Shelf(Arc<AtomicUsize>);

impl Shelf {
    pub fn reads(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Strategy for Shelf {
    fn read<'a>(
        &'a self,
        reference: &'a str,
        version: Option<&'a str>,
    ) -> BoxFuture<'a, baokit_service::Result<Found>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let value = json!({"reference": reference, "version": version, "token": CANARY_VALUE});
        Box::pin(async move { Ok(Found::new(value)) })
    }

    fn list<'a>(&'a self, prefix: &'a str, _: usize, _: usize) -> BoxFuture<'a, baokit_service::Result<Listed>> {
        Box::pin(async move { Ok(Listed::new(vec![prefix.to_owned()], 1)) })
    }
}

/// A host with this shelf behind these names.
pub fn shelf(names: &[&str], shelf: &Shelf) -> Providers {
    let with = |providers: Providers, name: &&str| providers.with(name, Arc::new(shelf.clone())).unwrap();
    names.iter().fold(Providers::default(), with)
}
