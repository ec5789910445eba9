//! The table of errors: every code once, stable and complete, and the documentation made of it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt::Write;

use baokit_core::Code;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ERRORS.md");

fn table() -> String {
    let mut text = String::from(
        "# Errors\n\nEvery code that baokit has, in every language. This file is made of the table in \
         [src/error.rs](src/error.rs):\n`WRITE_ERRORS=1 cargo test -p baokit-core --test errors` writes it anew.\n\n\
         Family says who has to act. Status is what the Secrets API answers. A retryable error may go away by itself.\n\n\
         | code | family | status | retryable | what to do |\n|---|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let retryable = if code.is_retryable() { "yes" } else { "no" };
        let (family, status) = (code.family().as_str(), code.http_status());
        writeln!(text, "| {code} | {family} | {status} | {retryable} | {} |", code.advice().replace('|', "\\|"))
            .unwrap();
    }
    text
}

#[test]
fn the_documentation_s_table_is_that_of_the_code() {
    if std::env::var_os("WRITE_ERRORS").is_some() {
        std::fs::write(FILE, table()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(FILE).unwrap_or_default(), table(), "see the head of ERRORS.md");
}

#[test]
fn codes_are_unique_and_every_one_says_what_to_do() {
    let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(texts.len(), Code::ALL.len());
    for code in Code::ALL {
        assert!(code.as_str().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{code}");
        assert!((400..600).contains(&code.http_status()), "{code}");
        assert!(code.advice().len() > 10 && !code.advice().ends_with('.'), "{code}");
    }
}
