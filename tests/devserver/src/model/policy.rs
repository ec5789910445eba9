//! What a policy allows: capabilities, path patterns and which of several patterns decides.

use super::Op;
use std::collections::BTreeMap;

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities(u16);

/// In the order in which the server lists them (alphabetical).
const NAMES: [(&str, u16); 9] = [
    ("create", 1),
    ("delete", 2),
    ("deny", 4),
    ("list", 8),
    ("patch", 16),
    ("read", 32),
    ("scan", 64),
    ("sudo", 128),
    ("update", 256),
];

impl Capabilities {
    pub(crate) const DENY: Capabilities = Capabilities(4);
    pub(crate) const SUDO: Capabilities = Capabilities(128);

    pub(crate) fn named(name: &str) -> Option<Capabilities> {
        NAMES.iter().find(|(n, _)| *n == name).map(|(_, bit)| Capabilities(*bit))
    }

    /// The sets that the old `policy = "…"` stands for.
    pub(crate) fn of_legacy(name: &str) -> Option<Capabilities> {
        let names: &[&str] = match name {
            "deny" => &["deny"],
            "read" => &["read", "list"],
            "write" => &["create", "read", "update", "delete", "list"],
            "sudo" => &["create", "read", "update", "delete", "list", "sudo"],
            _ => return None,
        };
        Some(names.iter().filter_map(|n| Capabilities::named(n)).fold(Capabilities(0), Capabilities::and))
    }

    /// Both sets together; a deny swallows all else.
    pub(crate) fn and(self, other: Capabilities) -> Capabilities {
        let both = self.0 | other.0;
        if both & Capabilities::DENY.0 != 0 { Capabilities::DENY } else { Capabilities(both) }
    }

    pub(crate) fn allow(self, needed: Capabilities) -> bool {
        self.0 & Capabilities::DENY.0 == 0 && self.0 & needed.0 == needed.0
    }

    /// The names, `deny` where there are none.
    pub(crate) fn names(self) -> Vec<&'static str> {
        if self.0 == 0 {
            return vec!["deny"];
        }
        NAMES.iter().filter(|(_, bit)| self.0 & bit != 0).map(|(name, _)| *name).collect()
    }

    /// What an operation needs.
    pub(crate) fn needed(op: Op) -> Option<Capabilities> {
        Capabilities::named(match op {
            Op::Create => "create",
            Op::Update => "update",
            Op::Read => "read",
            Op::List => "list",
            Op::Scan => "scan",
            Op::Delete => "delete",
            Op::Patch => "patch",
            Op::Head => return None,
        })
    }
}

/// One `path` block.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The pattern without its final star.
    path: String,
    /// Whether it ended in a star.
    prefix: bool,
    pub(crate) capabilities: Capabilities,
}

impl Rule {
    pub(crate) fn new(pattern: &str) -> Result<Rule, String> {
        if pattern.contains("+*") {
            return Err(format!("path {pattern:?}: path {pattern:?}: invalid use of wildcards ('+*' is forbidden)"));
        }
        // A leading slash is dropped, as paths here never have one.
        let path = pattern.strip_prefix('/').unwrap_or(pattern);
        let (path, prefix) = match path.strip_suffix('*') {
            Some(head) => (head, true),
            None => (path, false),
        };
        Ok(Rule { path: path.to_owned(), prefix, capabilities: Capabilities::default() })
    }

    pub(crate) fn pattern(&self) -> String {
        format!("{}{}", self.path, if self.prefix { "*" } else { "" })
    }

    /// Templates need an identity, which the model has none of: such a rule matches nothing.
    fn is_template(&self) -> bool {
        self.path.contains("{{")
    }

    fn has_segment_wildcard(&self) -> bool {
        self.path.split('/').any(|segment| segment == "+")
    }

    fn is_exact(&self) -> bool {
        !self.prefix && !self.has_segment_wildcard()
    }

    fn matches(&self, path: &str) -> bool {
        if !self.has_segment_wildcard() {
            return if self.prefix { path.starts_with(&self.path) } else { path == self.path };
        }
        let mut wanted = self.path.split('/').peekable();
        let mut found = path.split('/');
        while let Some(segment) = wanted.next() {
            let Some(actual) = found.next() else { return false };
            let last = wanted.peek().is_none();
            let fits = segment == "+" || segment == actual || (last && self.prefix && actual.starts_with(segment));
            if !fits {
                return false;
            }
        }
        self.prefix || found.next().is_none()
    }

    /// Greater decides over smaller: a wildcard that comes later, no star at the end, fewer segment
    /// wildcards, the longer pattern, the alphabetically later one.
    fn rank(&self) -> (usize, bool, std::cmp::Reverse<usize>, usize, &str) {
        let first_wildcard = self.path.find('+').unwrap_or(self.path.len());
        let wildcards = self.path.split('/').filter(|segment| *segment == "+").count();
        let length = self.path.len() + usize::from(self.prefix);
        (first_wildcard, !self.prefix, std::cmp::Reverse(wildcards), length, &self.path)
    }
}

/// Everything a token may do: the rules of all its policies, equal patterns united.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acl {
    root: bool,
    rules: BTreeMap<String, Rule>,
}

impl Acl {
    pub(crate) fn root() -> Acl {
        Acl { root: true, rules: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, rules: &[Rule]) {
        for rule in rules.iter().filter(|rule| !rule.is_template()) {
            self.rules
                .entry(rule.pattern())
                .and_modify(|held| held.capabilities = held.capabilities.and(rule.capabilities))
                .or_insert_with(|| rule.clone());
        }
    }

    /// The rule that decides over a path. `listing` says that a final slash may be left out.
    fn deciding(&self, path: &str, listing: bool) -> Option<&Rule> {
        let exact = |path: &str| self.rules.get(path).filter(|rule| rule.is_exact());
        exact(path).or_else(|| if listing { path.strip_suffix('/').and_then(exact) } else { None }).or_else(|| {
            self.rules
                .values()
                .filter(|rule| !rule.is_exact() && rule.matches(path))
                .max_by(|a, b| a.rank().cmp(&b.rank()))
        })
    }

    /// Whether an operation on a path is allowed; `sudo` says that the path asks for it too.
    pub(crate) fn allows(&self, op: Op, path: &str, sudo: bool) -> bool {
        if self.root {
            return true;
        }
        let (Some(rule), Some(needed)) =
            (self.deciding(path, matches!(op, Op::List | Op::Scan)), Capabilities::needed(op))
        else {
            return false;
        };
        rule.capabilities.allow(needed) && (!sudo || rule.capabilities.allow(Capabilities::SUDO))
    }

    /// The names of the capabilities on a path.
    pub(crate) fn names(&self, path: &str) -> Vec<&'static str> {
        if self.root {
            return vec!["root"];
        }
        self.deciding(path, true).map_or(vec!["deny"], |rule| rule.capabilities.names())
    }

    /// Whether any rule could allow something below a mount.
    pub(crate) fn touches(&self, mount: &str) -> bool {
        let usable = |rule: &Rule| rule.capabilities != Capabilities::DENY && rule.capabilities != Capabilities(0);
        self.root
            || self.rules.values().filter(|rule| usable(rule)).any(|rule| {
                rule.path.starts_with(mount)
                    || (rule.prefix && mount.starts_with(&rule.path))
                    || (rule.has_segment_wildcard() && segments_could_meet(&rule.path, mount))
            })
    }
}

/// Whether a pattern with segment wildcards could match something below a mount.
fn segments_could_meet(pattern: &str, mount: &str) -> bool {
    let mount = mount.trim_end_matches('/').split('/');
    let mut wanted = pattern.split('/');
    mount.into_iter().all(|segment| wanted.next().is_some_and(|w| w == "+" || w == segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(source: &str) -> Acl {
        let mut acl = Acl::default();
        acl.add(&super::super::hcl::parse(source).unwrap());
        acl
    }

    #[test]
    fn the_most_specific_pattern_decides() {
        let acl = acl(r#"
            path "secret/*" { capabilities = ["read"] }
            path "secret/data/+/x" { capabilities = ["deny"] }
            path "secret/data/app/*" { capabilities = ["update"] }
            path "secret/data/app/y" { capabilities = ["delete"] }
        "#);
        assert!(acl.allows(Op::Read, "secret/other", false));
        assert!(acl.allows(Op::Update, "secret/data/app/x", false), "the later star decides");
        assert!(!acl.allows(Op::Read, "secret/data/other/x", false), "denied by the segment wildcard");
        assert!(acl.allows(Op::Delete, "secret/data/app/y", false), "exact before prefix");
        assert!(!acl.allows(Op::Update, "secret/data/app/y", false));
        assert!(!acl.allows(Op::Read, "sys/mounts", false));
    }

    #[test]
    fn deny_wins_between_policies_with_the_same_pattern() {
        let mut acl = acl(r#"path "a/*" { capabilities = ["read"] }"#);
        acl.add(&super::super::hcl::parse(r#"path "a/*" { capabilities = ["deny"] }"#).unwrap());
        assert!(!acl.allows(Op::Read, "a/b", false));
    }

    #[test]
    fn a_listing_may_leave_out_the_final_slash() {
        let acl = acl(r#"path "secret/metadata" { capabilities = ["list"] }"#);
        assert!(acl.allows(Op::List, "secret/metadata/", false));
    }
}
