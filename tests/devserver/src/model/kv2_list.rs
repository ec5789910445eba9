//! Listing: the keys and folders right below a prefix, all keys below it, and pages of them.

use super::fields::Fields;

/// The names right below a prefix, folders with a final slash, sorted.
pub(crate) fn children<'a>(keys: impl Iterator<Item = &'a String>, prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = keys
        .filter_map(|key| key.strip_prefix(prefix))
        .filter(|rest| !rest.is_empty())
        .map(|rest| match rest.split_once('/') {
            Some((folder, _)) => format!("{folder}/"),
            None => rest.to_owned(),
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// All keys below a prefix in the server's order: first those right below it, then folder by folder,
/// the last one first.
pub(crate) fn descendants(keys: &[&String], prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for name in children(keys.iter().copied(), &format!("{prefix}{folder}")) {
            let path = format!("{folder}{name}");
            if name.ends_with('/') { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// The part of a listing that `after` and `limit` ask for.
pub(crate) fn page(names: Vec<String>, fields: &Fields) -> Vec<String> {
    let after = fields.text("after").unwrap_or_default();
    let limit = fields.int("limit").and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    names.into_iter().filter(|name| *name > after).take(limit.unwrap_or(usize::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_keys_of_the_same_name_are_both_listed() {
        let keys = ["d/e", "d/e/f", "d/g", "d/z/q", "other"].map(str::to_owned);
        assert_eq!(children(keys.iter(), "d/"), ["e", "e/", "g", "z/"]);
        let keys: Vec<&String> = keys.iter().collect();
        assert_eq!(descendants(&keys, "d/"), ["e", "g", "z/q", "e/f"]);
    }
}
