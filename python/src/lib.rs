//! `baokit._baokit`: the Rust half of the Python package baokit.
//!
//! A shell around the crate `baokit`: it turns Python's values into Rust's and back, waits with the
//! interpreter lock released, and decides nothing. `client` has the two clients, `run` how their
//! calls are waited for, `arguments` what they take, `settings` what they are made with, `values` JSON
//! and secrets, `types` URIs and answers, `errors` exceptions, `testing` the dev server. What needs no
//! Rust, such as the classes of exceptions and answers, is in the package's Python files.

mod arguments;
mod client;
mod errors;
mod run;
mod settings;
mod types;
mod values;

use pyo3::prelude::*;

/// Everything that `baokit/__init__.py` exports, and in attributes beside `__all__` what the package's
/// other files pick.
#[pymodule]
fn _baokit(module: &Bound<'_, PyModule>) -> PyResult<()> {
    run::set_up(module.py())?;
    module.add("ERROR_CODES", errors::table(module.py())?)?;
    module.add_class::<client::Client>()?;
    module.add_class::<client::AsyncClient>()?;
    module.add_class::<client::Kv2>()?;
    module.add_class::<client::AsyncKv2>()?;
    module.add_class::<values::Secret>()?;
    module.add_class::<values::SecretValue>()?;
    module.add_function(wrap_pyfunction!(types::_parse_uri, module)?)?;
    module.add_function(wrap_pyfunction!(types::_parse_prefix, module)?)?;
    module.add_function(wrap_pyfunction!(types::_parse_pointer, module)?)?;
    module.add_function(wrap_pyfunction!(types::_parse_ref, module)?)?;
    module.setattr("DevServer", module.py().get_type::<baokit_python_testing::DevServer>())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
