//! What lies in a folder of a KVv2 mount: lists, page by page, and scans, which go into all folders below.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::call::metadata::Metadata;
use crate::call::object::Object;
use crate::call::{Answer, Call, Replay, Spec};
use crate::error::Result;
use crate::http::Method;
use crate::uri::SecretPrefix;
use crate::uri::path::{Mount, SecretPath};

/// The part of a mount that lists and scans are asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Names alone.
    Names,
    /// Names, and the metadata of those that are keys.
    Detailed,
}

/// A folder of a mount, escaped for the wire; the root where it has no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folder {
    mount: Box<str>,
    path: Box<str>,
}

impl Folder {
    /// A folder as a caller names it, with a slash behind it or without; the root is empty.
    pub fn parse(mount: &str, folder: &str) -> Result<Self> {
        let mount = Mount::parse(mount)?;
        let path = match folder.strip_suffix('/').unwrap_or(folder) {
            "" => "".into(),
            path => SecretPath::parse(path)?.wire().into(),
        };
        Ok(Self { mount: mount.wire().into(), path })
    }

    pub fn of(prefix: &SecretPrefix) -> Self {
        Self { mount: prefix.mount_wire().into(), path: prefix.path_wire().into() }
    }

    /// A folder, or a key, that a list of this one named, by its names as OpenBao has them. None where they
    /// can't be asked for: OpenBao takes names that a URL can't hold.
    pub fn below(&self, names: &str) -> Option<(Mount, SecretPath)> {
        let slash = if self.path.is_empty() { "" } else { "/" };
        let names = names.strip_suffix('/').unwrap_or(names);
        let path = SecretPath::parse(&[&self.path, slash, &escaped(names)].concat()).ok()?;
        Some((Mount::parse(&self.mount).ok()?, path))
    }

    /// The folder of that name in this one.
    pub fn enter(&self, names: &str) -> Option<Self> {
        let (mount, path) = self.below(names)?;
        Some(Self { mount: mount.wire().into(), path: path.wire().into() })
    }

    fn target(&self, part: Part, query: &str) -> String {
        let part = if part == Part::Names { "metadata" } else { "detailed-metadata" };
        let slash = if self.path.is_empty() { "" } else { "/" };
        ["/v1/", &self.mount, "/", part, slash, &self.path, query].concat()
    }
}

/// A name of OpenBao's as paths write it.
fn escaped(names: &str) -> String {
    names.replace('%', "%25").replace(' ', "%20").replace('?', "%3F").replace('#', "%23")
}

/// What lies in a folder: a key, with its metadata where a detailed list was asked for, or a folder.
/// See [`Client::kv2_list_detailed`](crate::Client::kv2_list_detailed).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The name as OpenBao has it. That of a folder ends in a slash; in a path or URI, `%` is written `%25`.
    pub name: String,
    /// The key's metadata; none of a folder.
    pub metadata: Option<Metadata>,
}

/// How names, or entries, are read from an answer, and how what was read is named.
pub(crate) struct Reading<T> {
    pub part: Part,
    pub read: fn(&Spec, Answer) -> Result<Vec<T>>,
    pub name: fn(&T) -> &str,
}

impl<T> Clone for Reading<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Reading<T> {}

/// The names of a list.
pub(crate) const NAMES: Reading<String> =
    Reading { part: Part::Names, read: |spec, answer| read(spec, answer, |data| names(&data)), name: |name| name };

/// The entries of a detailed list.
pub(crate) const ENTRIES: Reading<Entry> =
    Reading { part: Part::Detailed, read: |spec, answer| read(spec, answer, entries), name: |entry| &entry.name };

/// An empty list is a 404, an empty scan an empty object.
fn read<T>(spec: &Spec, answer: Answer, items: fn(Object) -> Option<Vec<T>>) -> Result<Vec<T>> {
    if answer.is_of_nothing() { Ok(Vec::new()) } else { answer.data_as(spec, items) }
}

/// None where there are none and something else is: that is no answer to a list.
fn names(data: &Object) -> Option<Vec<String>> {
    if data.entries()?.is_empty() { Some(Vec::new()) } else { data.list("keys") }
}

fn entries(mut data: Object) -> Option<Vec<Entry>> {
    let names = names(&data)?;
    if names.is_empty() {
        return Some(Vec::new());
    }
    let mut about = data.object("key_info")?;
    let mut entries = Vec::with_capacity(names.len());
    for name in names {
        let metadata = match about.object(&name) {
            // Of a folder OpenBao tells the metadata of the key of the same name, where there is one.
            Some(about) if !name.ends_with('/') && about.has("versions") => Metadata::read(about)?,
            _ => None,
        };
        entries.push(Entry { name, metadata });
    }
    Some(entries)
}

/// `GET mount/metadata/path?list=true`: at most `limit` names, those behind `after`.
pub(crate) fn list<T>(folder: &Folder, reading: Reading<T>, after: Option<&str>, limit: usize) -> Call<Vec<T>> {
    let mut query = format!("?list=true&limit={limit}");
    if let Some(after) = after {
        query.push_str("&after=");
        query.extend(utf8_percent_encode(after, NON_ALPHANUMERIC));
    }
    Call::new(Method::Get, folder.target(reading.part, &query), Replay::Idempotent, reading.read)
}

/// `GET mount/metadata/path?scan=true`: all keys below.
pub(crate) fn scan<T>(folder: &Folder, reading: Reading<T>) -> Call<Vec<T>> {
    Call::new(Method::Get, folder.target(reading.part, "?scan=true"), Replay::Idempotent, reading.read)
}
