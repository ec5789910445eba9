//! The same requests to the dev server and to the real one: every difference in status, headers or body
//! fails, or stands in the table below with its reason.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail by panicking, as tests do"
)]

#[path = "conformance/normal.rs"]
mod normal;
#[path = "conformance/script.rs"]
mod script;

use baokit_devserver::DevServer;
use baokit_openbao::{Server, Version};
use normal::normal;
use script::{Side, read};
use std::collections::BTreeSet;

/// A known difference: its name in the scripts, the versions it concerns, and why it is left.
struct Known {
    name: &'static str,
    versions: &'static [Version],
    /// Whether it shows at every run; one that hangs on the server's own timer does not.
    always: bool,
    reason: &'static str,
}

const OLD: &[Version] = &[Version::V2_6_2];
const BOTH: &[Version] = &Version::ALL;

const KNOWN: &[Known] = &[
    Known {
        name: "json-error",
        versions: OLD,
        always: true,
        reason: "2.6.2 words JSON syntax errors as an older Go does; the dev server speaks as 2.7.2",
    },
    Known {
        name: "reworded",
        versions: OLD,
        always: true,
        reason: "errors of policies and parameters that 2.7.2 words anew; the dev server speaks as 2.7.2",
    },
    Known {
        name: "policy-lower-case",
        versions: OLD,
        always: true,
        reason: "2.6.2 answers a policy name in upper case with a warning, 2.7.2 with nothing",
    },
    Known {
        name: "expired-secret-id",
        versions: OLD,
        always: false,
        reason: "2.6.2 goes on accepting an expired secret_id until it next cleans up, 2.7.2 and the dev server do not",
    },
    Known {
        name: "default-policy-text",
        versions: BOTH,
        always: true,
        reason: "the dev server's default policy has the same rules and none of the comments",
    },
    Known {
        name: "depth",
        versions: BOTH,
        always: true,
        reason: "JSON may be nested 10,000 levels deep there and 512 here, where values are walked recursively",
    },
    Known {
        name: "not-modelled",
        versions: BOTH,
        always: true,
        reason: "engines and features that the dev server refuses, and says so, where the real one has them",
    },
];

fn conformance(version: Version) {
    let real = Server::start(version).unwrap_or_else(|e| panic!("{e}"));
    let dev = DevServer::start_blocking().unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut agreed, mut known, mut failures) = (0, BTreeSet::new(), Vec::new());
    let (mut real, mut dev) = ((Side::new(real.address()), real), (Side::new(dev.address()), dev));
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for step in read(&std::fs::read_to_string(&file).unwrap()) {
            let (theirs, ours) = (normal(&real.0.run(&step)), normal(&dev.0.run(&step)));
            let entry = step.differs.as_ref().map(|name| {
                KNOWN.iter().find(|k| k.name == name).unwrap_or_else(|| panic!("no known difference {name}"))
            });
            let excused = entry.filter(|k| k.versions.contains(&version));
            if theirs != ours {
                match excused {
                    Some(entry) => drop(known.insert((entry.name, entry.reason))),
                    None => failures.push(format!(
                        "{name}:{} {} {} {}\n--- OpenBao {version}\n{}\n--- dev server\n{}\n",
                        step.line,
                        step.method,
                        cut(&step.target),
                        cut(&step.body),
                        cut(&theirs),
                        cut(&ours)
                    )),
                }
            } else if excused.is_some_and(|k| k.always) {
                failures.push(format!("{name}:{} is said to differ and does not\n", step.line));
            } else {
                agreed += 1;
            }
        }
    }
    println!("OpenBao {version}: {agreed} exchanges agreed, {} differed", failures.len());
    for (name, reason) in known {
        println!("  known difference {name}: {reason}");
    }
    assert!(failures.is_empty(), "{} exchanges differ:\n\n{}", failures.len(), failures.join("\n"));
    assert!(agreed > 400, "the scripts were not all run: {agreed}");
}

fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(1500).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[test]
fn the_dev_server_answers_as_openbao_2_7_2() {
    conformance(Version::V2_7_2);
}

#[test]
fn the_dev_server_answers_as_openbao_2_6_2() {
    conformance(Version::V2_6_2);
}
