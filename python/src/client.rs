//! The two clients: the same calls, of which one waits and the other hands out coroutines.

use std::future::{IntoFuture, ready};

use baokit::{Code, Error};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::arguments::{Cas, Data, Increment, Method, Mount, Path, Uri, Version, Versions};
use crate::errors::raise;
use crate::run::{Called, block, coroutine};
use crate::settings;
use crate::values::{answer, from_json, nothing, secret, unpicklable, value};

/// An environment, or settings by name.
type Mapping<'py> = Bound<'py, PyAny>;
type Keywords<'py> = Bound<'py, PyDict>;

/// A client, and the process that made it: a fork shares its sockets with its parent, and two that
/// read from one connection get each other's answers.
#[derive(Clone)]
struct Owned {
    client: baokit::Client,
    process: u32,
}

impl Owned {
    fn new(client: baokit::Client) -> Self {
        Self { client, process: std::process::id() }
    }

    fn get(&self, py: Python<'_>) -> PyResult<baokit::Client> {
        if self.process == std::process::id() {
            return Ok(self.client.clone());
        }
        let error = Error::new(Code::ClientClosed).about("client");
        Err(raise(py, error.because("it was made before a fork, and belongs to the other process")))
    }
}

/// Makes a client and its KVv2 part. `$run` waits for a call, or makes a coroutine of it.
macro_rules! client {
    ($(#[$about:meta])* $client:ident, $kv2:ident, $run:ident; $($methods:tt)*) => {
        $(#[$about])*
        #[pyclass(module = "baokit", frozen)]
        pub struct $client(Owned);

        #[pymethods]
        impl $client {
            /// A client whose settings are given here; baokit/_baokit.pyi lists them.
            #[new]
            #[pyo3(signature = (**settings))]
            fn new(py: Python<'_>, settings: Option<Keywords<'_>>) -> PyResult<Self> {
                settings::client(py, None, settings).map(Owned::new).map(Self)
            }

            /// A client with the settings of a mapping, by default the process's environment: OPENBAO_URL,
            /// OPENBAO_TOKEN or OPENBAO_ROLE_ID and OPENBAO_SECRET_ID, TENANT_ALLOWED_MOUNTS and so on.
            /// Keyword arguments complete or overrule it. Sends nothing: the first operation logs in.
            #[staticmethod]
            #[pyo3(signature = (env = None, **settings))]
            fn from_env(py: Python<'_>, env: Option<Mapping<'_>>, settings: Option<Keywords<'_>>) -> PyResult<Self> {
                let env = settings::environment(py, env)?;
                settings::client(py, Some(&env), settings).map(Owned::new).map(Self)
            }

            /// The settings that from_env would use, without credentials.
            #[staticmethod]
            #[pyo3(signature = (env = None, **settings))]
            fn describe_settings(py: Python<'_>, env: Option<Mapping<'_>>, settings: Option<Keywords<'_>>) -> Called {
                let env = settings::environment(py, env)?;
                from_json(py, &settings::of(py, Some(&env), settings)?.describe()).map(Bound::unbind)
            }

            /// The settings that the client was made with, without credentials.
            #[getter]
            fn settings(&self, py: Python<'_>) -> Called {
                from_json(py, &self.0.client.settings().describe()).map(Bound::unbind)
            }

            /// Reads a secret, or one key of it where the URI has a fragment.
            fn read(&self, py: Python<'_>, uri: Uri) -> Called {
                $run(py, self.0.get(py)?, secret, |client| async move { client.read(uri.0).await })
            }

            /// Writes a new version: the whole secret (a dict), or with a fragment that key alone.
            fn write(&self, py: Python<'_>, uri: Uri, value: Data) -> Called {
                $run(py, self.0.get(py)?, answer("Change"), |client| async move { client.write(uri.0, value.0).await })
            }

            /// Replaces a value; stops with CAS_CONFLICT where another writer comes in between.
            fn rotate(&self, py: Python<'_>, uri: Uri, value: Data) -> Called {
                $run(py, self.0.get(py)?, answer("Change"), |client| async move { client.rotate(uri.0, value.0).await })
            }

            /// Deletes the newest version, or the one that ?version= pins. Its data can be undeleted.
            fn delete(&self, py: Python<'_>, uri: Uri) -> Called {
                $run(py, self.0.get(py)?, nothing, |client| async move { client.delete(uri.0).await })
            }

            /// The versions of a secret, oldest first, without their data.
            fn versions(&self, py: Python<'_>, uri: Uri) -> Called {
                $run(py, self.0.get(py)?, answer("versions"), |client| async move { client.versions(uri.0).await })
            }

            /// The KVv2 engine at a mount, below the level of URIs and of the tenant guard.
            fn kv2(&self, mount: Mount) -> $kv2 {
                $kv2(self.0.clone(), mount.0)
            }

            /// Parses a prefix and shows it to the guard of the tenant's mounts; returns its canonical text.
            fn admit_prefix(&self, py: Python<'_>, prefix: Uri) -> PyResult<String> {
                let admitted = self.0.get(py)?.settings().admit_prefix(&prefix.0).map_err(|error| raise(py, error))?;
                Ok(admitted.prefix().to_string())
            }

            /// Sends a request that baokit does not model, with the same failover, retry and redaction.
            #[pyo3(signature = (method, path, body = None))]
            fn request(&self, py: Python<'_>, method: Method, path: Path, body: Option<Data>) -> Called {
                $run(py, self.0.get(py)?, value, |client| async move {
                    client.request(&method.0, &path.0, body.map(|it| it.0)).await.map(baokit::Reply::into_document)
                })
            }

            /// What OpenBao says of the client's own token. A token that counts its uses loses one.
            fn lookup_self(&self, py: Python<'_>) -> Called {
                $run(py, self.0.get(py)?, answer("TokenInfo"), |client| async move { client.lookup_self().await })
            }

            /// Renews the client's token by so many seconds, or by its own period.
            #[pyo3(signature = (increment = None))]
            fn renew_self(&self, py: Python<'_>, increment: Option<Increment>) -> Called {
                $run(py, self.0.get(py)?, answer("Renewal"), |client| async move {
                    client.renew_self(increment.map(|it| it.0)).await
                })
            }

            /// Wipes token and credential. Everything later fails with CLIENT_CLOSED.
            ///
            /// Nothing more is sent for calls under way: one whose answer arrives still gets it, the others
            /// end with CLIENT_CLOSED, or with INDETERMINATE where a change may have been carried out.
            fn close(&self) {
                self.0.client.close();
            }

            fn __repr__(&self) -> String {
                let nodes: Vec<_> = self.0.client.settings().nodes().iter().map(|node| node.as_str()).collect();
                format!("{}({})", stringify!($client), nodes.join(", "))
            }

            fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
                Err(unpicklable(stringify!($client)))
            }

            $($methods)*
        }

        /// The KVv2 engine at one mount.
        #[pyclass(module = "baokit", frozen)]
        pub struct $kv2(Owned, String);

        #[pymethods]
        impl $kv2 {
            /// Reads the newest version of a secret, or the one that is named.
            #[pyo3(signature = (path, version = None))]
            fn read(&self, py: Python<'_>, path: Path, version: Option<Version>) -> Called {
                let mut read = self.at(py)?.read(path.0);
                if let Some(version) = version {
                    read = read.version(version.0);
                }
                $run(py, read, secret, IntoFuture::into_future)
            }

            /// Writes a whole secret; with cas only if that is the current version, 0 for none.
            #[pyo3(signature = (path, data, cas = None))]
            fn write(&self, py: Python<'_>, path: Path, data: Data, cas: Option<Cas>) -> Called {
                let mut write = self.at(py)?.write(path.0, data.0);
                if let Some(cas) = cas {
                    write = write.cas(cas.0);
                }
                $run(py, write, answer("Written"), IntoFuture::into_future)
            }

            /// Deletes these versions, or the newest where none is named.
            #[pyo3(signature = (path, versions = None))]
            fn delete(&self, py: Python<'_>, path: Path, versions: Option<Versions>) -> Called {
                let versions = versions.map_or_else(Vec::new, |it| it.0);
                $run(py, self.at(py)?, nothing, |kv2| async move { kv2.delete(&path.0, &versions).await })
            }

            /// The versions of a secret, oldest first.
            fn versions(&self, py: Python<'_>, path: Path) -> Called {
                $run(py, self.at(py)?, answer("versions"), |kv2| async move { kv2.versions(&path.0).await })
            }

            fn __repr__(&self) -> String {
                format!("{}({:?})", stringify!($kv2), self.1)
            }

            fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
                Err(unpicklable(stringify!($kv2)))
            }
        }

        impl $kv2 {
            fn at(&self, py: Python<'_>) -> PyResult<baokit::Kv2> {
                Ok(self.0.get(py)?.kv2(self.1.as_str()))
            }
        }
    };
}

client! {
    /// A client of one OpenBao cluster, whose calls block.
    Client, Kv2, block;

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {
        self.close();
    }
}

client! {
    /// A client of one OpenBao cluster for asyncio.
    AsyncClient, AsyncKv2, coroutine;

    fn __aenter__(this: Py<Self>, py: Python<'_>) -> Called {
        coroutine(py, this, |_, this: Py<Self>| Ok(this.into_any()), |this| ready(Ok(this)))
    }

    #[pyo3(signature = (*_exception))]
    fn __aexit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> Called {
        self.close();
        coroutine(py, (), nothing, |()| ready(Ok(())))
    }
}
