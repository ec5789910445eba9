//! `baokit._baokit`: the Rust half of the Python package baokit.
//!
//! A shell around the crate `baokit`: it turns Python's values into Rust's and back, waits with the
//! interpreter lock released, and decides nothing. `client` has the two clients, `run` how their
//! calls are waited for, `arguments` what they take, `settings` what they are made with, `values` JSON,
//! secrets and answers, `uris` URIs, `errors` exceptions. What needs no Rust, such as the classes of
//! exceptions and answers, is in the package's Python files.

mod arguments;
mod client;
mod errors;
mod run;
mod settings;
mod uris;
mod values;

/// Everything that `baokit/__init__.py` exports, and in attributes beside `__all__` what the package's
/// other files pick.
#[pyo3::pymodule]
mod _baokit {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::client::{AsyncClient, AsyncKv2, Client, Kv2};
    #[pymodule_export]
    use crate::errors::_error_codes;
    #[pymodule_export]
    use crate::uris::{_parse_pointer, _parse_prefix, _parse_ref, _parse_uri};
    #[pymodule_export]
    use crate::values::{Secret, SecretValue};

    #[pymodule_init]
    fn set_up(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::run::set_up(module.py())?;
        module.setattr("DevServer", module.py().get_type::<baokit_python_testing::DevServer>())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
