//! How much of the cluster's state the client has seen: the index that its reads ask a node to have.
//!
//! A standby is some 80 ms behind the leader. Since 2.7 OpenBao says with every answer how far the
//! node is, and lets a read say how far it has to be: a standby that is behind passes it on.

use std::sync::Arc;

use base64ct::{Base64, Encoding};
use serde::Deserialize;

/// Longer ones are not OpenBao's; its own have some 90 bytes.
const MAX_INDEX_BYTES: usize = 256;

/// The furthest state that an answer came from.
#[derive(Debug, Default)]
pub(crate) struct Consistency {
    /// As the server wrote it.
    text: Option<Arc<str>>,
    index: Option<Index>,
}

/// What the base64 of an index holds, as JSON.
#[derive(Debug, Deserialize)]
struct Index {
    cluster: String,
    value: String,
}

impl Index {
    fn decode(text: &str) -> Option<Self> {
        let mut buffer = [0; MAX_INDEX_BYTES];
        serde_json::from_slice(Base64::decode(text, &mut buffer).ok()?).ok()
    }

    /// Whether it is of the same cluster and not as far as the other. The values are decimal numbers.
    fn is_behind(&self, other: &Self) -> bool {
        let value = |index: &Self| index.value.parse::<u64>().ok();
        self.cluster == other.cluster && value(self) < value(other)
    }
}

impl Consistency {
    /// An answer came from this state. It counts where it is further than the one before, is another
    /// cluster's, or can't be compared.
    pub fn note(&mut self, text: &str) {
        // It goes into a header as it is.
        if text.is_empty() || text.len() > MAX_INDEX_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return;
        }
        if self.text.as_deref() == Some(text) {
            return;
        }
        let index = Index::decode(text);
        if let (Some(new), Some(old)) = (&index, &self.index)
            && new.is_behind(old)
        {
            return;
        }
        self.text = Some(text.into());
        self.index = index;
    }

    /// What a read asks for; none before the first answer, and from servers that don't say.
    pub fn index(&self) -> Option<Arc<str>> {
        self.text.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(cluster: &str, value: &str) -> String {
        Base64::encode_string(format!(r#"{{"cluster":"{cluster}","value":"{value}"}}"#).as_bytes())
    }

    fn after(texts: &[&str]) -> Option<Arc<str>> {
        let mut seen = Consistency::default();
        texts.iter().for_each(|text| seen.note(text));
        seen.index()
    }

    #[test]
    fn the_furthest_index_of_a_cluster_is_kept() {
        let (nine, ten) = (index("a", "9"), index("a", "10"));
        assert_eq!(after(&[&nine, &ten]).as_deref(), Some(&*ten), "compared as numbers, not as text");
        assert_eq!(after(&[&ten, &nine]).as_deref(), Some(&*ten));
    }

    #[test]
    fn another_cluster_s_index_takes_the_place_of_the_old_one() {
        let (old, new) = (index("a", "1000"), index("b", "1"));
        assert_eq!(after(&[&old, &new]).as_deref(), Some(&*new));
    }

    #[test]
    fn an_index_that_can_not_be_decoded_is_passed_on_and_not_compared() {
        let known = index("a", "5");
        assert_eq!(after(&[&known, "opaque"]).as_deref(), Some("opaque"));
        assert_eq!(after(&["opaque", &known]).as_deref(), Some(&*known));
    }

    #[test]
    fn what_no_header_may_hold_is_dropped() {
        for illegal in ["", "a b", "a\r\nx: y", "ä", &"x".repeat(MAX_INDEX_BYTES + 1)] {
            assert_eq!(after(&[illegal]), None, "{illegal:?}");
        }
    }
}
