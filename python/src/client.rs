//! The two clients: the same calls, of which one waits and the other hands out coroutines.

use std::future::{IntoFuture, ready};

use baokit::{Code, Error};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::{OrRaise, raise};
use crate::run::{block, coroutine};
use crate::settings;
use crate::types::{self, uri};
use crate::values::{self, from_json, number, secret_value, sequence, text, unpicklable};

/// An argument of any type; who uses it checks it, with an error that has a code.
type Arg<'a, 'py> = &'a Bound<'py, PyAny>;
type Keywords<'a, 'py> = &'a Bound<'py, PyDict>;
/// What a call came to, or the coroutine that makes it.
type Called = PyResult<Py<PyAny>>;

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
        Err(raise(py, &error.because("it was made before a fork, and belongs to the other process")))
    }
}

/// Makes a client and its KVv2 part. `$run` waits for a call, or makes a coroutine of it.
macro_rules! client {
    ($client:ident, $client_doc:literal, $kv2:ident, $name:literal, $kv2_name:literal, $run:ident, { $($methods:tt)* }) => {
        #[doc = $client_doc]
        #[pyclass(module = "baokit", frozen, name = $name)]
        pub struct $client(Owned);

        #[pymethods]
        impl $client {
            /// A client whose settings are given here; baokit/_baokit.pyi lists them.
            #[new]
            #[pyo3(signature = (**settings))]
            fn new(py: Python<'_>, settings: Option<Keywords<'_, '_>>) -> PyResult<Self> {
                settings::client(py, None, settings).map(Owned::new).map(Self)
            }

            /// A client with the settings of a mapping, by default the process's environment: OPENBAO_URL,
            /// OPENBAO_TOKEN or OPENBAO_ROLE_ID and OPENBAO_SECRET_ID, TENANT_ALLOWED_MOUNTS and so on.
            /// Keyword arguments complete or overrule it. Sends nothing: the first operation logs in.
            #[staticmethod]
            #[pyo3(signature = (env = None, **settings))]
            fn from_env(py: Python<'_>, env: Option<Arg<'_, '_>>, settings: Option<Keywords<'_, '_>>) -> PyResult<Self> {
                let env = settings::environment(py, env)?;
                settings::client(py, Some(&env), settings).map(Owned::new).map(Self)
            }

            /// The settings that from_env would use, without credentials.
            #[staticmethod]
            #[pyo3(signature = (env = None, **settings))]
            fn describe_settings<'py>(
                py: Python<'py>,
                env: Option<Arg<'_, 'py>>,
                settings: Option<Keywords<'_, 'py>>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let env = settings::environment(py, env)?;
                from_json(py, &settings::of(py, Some(&env), settings)?.describe())
            }

            /// The settings that the client was made with, without credentials.
            #[getter]
            fn settings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                from_json(py, &self.0.client.settings().describe())
            }

            /// Reads a secret, or one key of it where the URI has a fragment.
            fn read(&self, py: Python<'_>, uri: Arg<'_, '_>) -> Called {
                let (client, uri) = (self.0.get(py)?, self::uri(uri)?);
                $run(py, values::secret, async move { client.read(uri).await })
            }

            /// Writes a new version: the whole secret (a dict), or with a fragment that key alone.
            fn write(&self, py: Python<'_>, uri: Arg<'_, '_>, value: Arg<'_, '_>) -> Called {
                let (client, uri, value) = (self.0.get(py)?, self::uri(uri)?, secret_value(value)?);
                $run(py, types::change, async move { client.write(uri, value).await })
            }

            /// Replaces a value; stops with CAS_CONFLICT where another writer comes in between.
            fn rotate(&self, py: Python<'_>, uri: Arg<'_, '_>, value: Arg<'_, '_>) -> Called {
                let (client, uri, value) = (self.0.get(py)?, self::uri(uri)?, secret_value(value)?);
                $run(py, types::change, async move { client.rotate(uri, value).await })
            }

            /// Deletes the newest version, or the one that ?version= pins. Its data can be undeleted.
            fn delete(&self, py: Python<'_>, uri: Arg<'_, '_>) -> Called {
                let (client, uri) = (self.0.get(py)?, self::uri(uri)?);
                $run(py, values::nothing, async move { client.delete(uri).await })
            }

            /// The versions of a secret, oldest first, without their data.
            fn versions(&self, py: Python<'_>, uri: Arg<'_, '_>) -> Called {
                let (client, uri) = (self.0.get(py)?, self::uri(uri)?);
                $run(py, types::versions, async move { client.versions(uri).await })
            }

            /// The KVv2 engine at a mount, below the level of URIs and of the tenant guard.
            fn kv2(&self, mount: Arg<'_, '_>) -> PyResult<$kv2> {
                Ok($kv2(self.0.clone(), text("mount", mount, Code::IllegalSegment)?))
            }

            /// Parses a prefix and shows it to the guard of the tenant's mounts; returns its canonical text.
            fn admit_prefix(&self, py: Python<'_>, prefix: Arg<'_, '_>) -> PyResult<String> {
                types::admit_prefix(self.0.get(py)?.settings(), &self::uri(prefix)?).or_raise(py)
            }

            /// Sends a request that baokit does not model, with the same failover, retry and redaction.
            #[pyo3(signature = (method, path, body = None))]
            fn request(&self, py: Python<'_>, method: Arg<'_, '_>, path: Arg<'_, '_>, body: Option<Arg<'_, '_>>) -> Called {
                let client = self.0.get(py)?;
                let method = text("method", method, Code::NotSupported)?;
                let path = text("path", path, Code::IllegalSegment)?;
                let body = body.map(secret_value).transpose()?;
                $run(py, values::value, async move { client.request(&method, &path, body).await })
            }

            /// What OpenBao says of the client's own token. A token that counts its uses loses one.
            fn lookup_self(&self, py: Python<'_>) -> Called {
                let client = self.0.get(py)?;
                $run(py, types::token_info, async move { client.lookup_self().await })
            }

            /// Renews the client's token by so many seconds, or by its own period.
            #[pyo3(signature = (increment = None))]
            fn renew_self(&self, py: Python<'_>, increment: Option<Arg<'_, '_>>) -> Called {
                let client = self.0.get(py)?;
                let increment = increment.map(|it| number("increment", it, Code::InvalidValue)).transpose()?;
                $run(py, types::renewal, async move { client.renew_self(increment).await })
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
                format!("{}({})", $name, nodes.join(", "))
            }

            fn __reduce_ex__(&self, _protocol: Arg<'_, '_>) -> PyResult<()> {
                Err(unpicklable($name))
            }

            $($methods)*
        }

        /// The KVv2 engine at one mount.
        #[pyclass(module = "baokit", frozen, name = $kv2_name)]
        pub struct $kv2(Owned, String);

        #[pymethods]
        impl $kv2 {
            /// Reads the newest version of a secret, or the one that is named.
            #[pyo3(signature = (path, version = None))]
            fn read(&self, py: Python<'_>, path: Arg<'_, '_>, version: Option<Arg<'_, '_>>) -> Called {
                let (client, mount, path) = self.place(py, path)?;
                let mut read = client.kv2(mount).read(path);
                if let Some(version) = version {
                    read = read.version(number("version", version, Code::InvalidVersion)?);
                }
                $run(py, values::secret, read.into_future())
            }

            /// Writes a whole secret; with cas only if that is the current version, 0 for none.
            #[pyo3(signature = (path, data, cas = None))]
            fn write(&self, py: Python<'_>, path: Arg<'_, '_>, data: Arg<'_, '_>, cas: Option<Arg<'_, '_>>) -> Called {
                let ((client, mount, path), data) = (self.place(py, path)?, secret_value(data)?);
                let mut write = client.kv2(mount).write(path, data);
                if let Some(cas) = cas {
                    write = write.cas(number("cas", cas, Code::InvalidVersion)?);
                }
                $run(py, types::written, write.into_future())
            }

            /// Deletes these versions, or the newest where none is named.
            #[pyo3(signature = (path, versions = None))]
            fn delete(&self, py: Python<'_>, path: Arg<'_, '_>, versions: Option<Arg<'_, '_>>) -> Called {
                let (client, mount, path) = self.place(py, path)?;
                let versions = versions.map(|it| sequence("versions", "a list of int", it, Code::InvalidVersion, number));
                let versions = versions.transpose()?.unwrap_or_default();
                $run(py, values::nothing, async move { client.kv2(mount).delete(&path, &versions).await })
            }

            /// The versions of a secret, oldest first.
            fn versions(&self, py: Python<'_>, path: Arg<'_, '_>) -> Called {
                let (client, mount, path) = self.place(py, path)?;
                $run(py, types::versions, async move { client.kv2(mount).versions(&path).await })
            }

            fn __repr__(&self) -> String {
                format!("{}({:?})", $kv2_name, self.1)
            }

            fn __reduce_ex__(&self, _protocol: Arg<'_, '_>) -> PyResult<()> {
                Err(unpicklable($kv2_name))
            }
        }

        impl $kv2 {
            fn place(&self, py: Python<'_>, path: Arg<'_, '_>) -> PyResult<(baokit::Client, String, String)> {
                Ok((self.0.get(py)?, self.1.clone(), text("path", path, Code::IllegalSegment)?))
            }
        }
    };
}

client!(Client, "A client of one OpenBao cluster, whose calls block.", Kv2, "Client", "Kv2", block, {
    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: Arg<'_, '_>) {
        self.close();
    }
});

client!(AsyncClient, "A client of one OpenBao cluster for asyncio.", AsyncKv2, "AsyncClient", "AsyncKv2", coroutine, {
    fn __aenter__(this: Py<Self>, py: Python<'_>) -> Called {
        coroutine(py, |py, this: Py<Self>| Ok(this.into_bound(py).into_any()), ready(Ok(this)))
    }

    #[pyo3(signature = (*_exception))]
    fn __aexit__(&self, py: Python<'_>, _exception: Arg<'_, '_>) -> Called {
        self.close();
        coroutine(py, values::nothing, ready(Ok(())))
    }
});
