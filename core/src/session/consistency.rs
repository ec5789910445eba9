//! How much of the cluster's state the client has seen: the index that its reads ask a node to have.
//!
//! A standby is some 80 ms behind the leader. Since 2.7 OpenBao says with every answer how far the
//! node is, and lets a read say how far it has to be: a standby that is behind passes it on.

use std::sync::Arc;

use base64ct::{Base64, Encoding};

use crate::call::object::Object;
use crate::secret::SecretValue;

/// Longer ones are not OpenBao's; its own have some 90 bytes.
const MAX_INDEX_BYTES: usize = 256;

/// The furthest state that an answer came from.
#[derive(Debug, Default)]
pub(crate) struct Consistency {
    furthest: Option<Arc<Mark>>,
}

/// A state of the cluster, as a server named it.
#[derive(Debug)]
pub(crate) struct Mark {
    /// As it goes back into a header.
    pub text: Arc<str>,
    /// None where it can't be decoded: then it is passed on, and compared with nothing.
    index: Option<Index>,
}

/// What the index of an answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It is as far as what was asked for.
    Fresh,
    /// It is behind what was asked for.
    Behind,
    /// It can't be compared with what was asked for, and proves nothing.
    Unknown,
    /// It is of another cluster than all before.
    OtherCluster,
}

/// What the base64 of an index holds, as JSON.
#[derive(Debug)]
struct Index {
    cluster: String,
    value: u64,
}

impl Index {
    fn decode(text: &str) -> Option<Self> {
        let mut buffer = [0; MAX_INDEX_BYTES];
        let document = serde_json::from_slice::<SecretValue>(Base64::decode(text, &mut buffer).ok()?).ok();
        let index = document.and_then(Object::of)?;
        // A decimal number, in quotes.
        Some(Self { cluster: index.text("cluster")?.to_owned(), value: index.text("value")?.parse().ok()? })
    }

    /// How far it is, compared with another of the same cluster.
    fn compared_with(&self, other: &Self) -> Noted {
        match self.cluster == other.cluster {
            false => Noted::Unknown,
            true if self.value < other.value => Noted::Behind,
            true => Noted::Fresh,
        }
    }
}

impl Consistency {
    /// An answer came from this state, to a request that asked for `asked`. It counts where it is
    /// further than the one before, is another cluster's, or can't be compared.
    ///
    /// An answer that only the leader can have given counts in any case.
    pub fn note(&mut self, text: &str, asked: Option<&Mark>, is_leaders: bool) -> Noted {
        // It goes into a header as it is.
        if text.is_empty() || text.len() > MAX_INDEX_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Noted::Unknown;
        }
        let compared = |new: Option<&Index>, mark: Option<&Mark>| match (new, mark.and_then(|mark| mark.index.as_ref()))
        {
            (Some(new), Some(old)) => new.compared_with(old),
            _ => Noted::Unknown,
        };
        let judged = |new: Option<&Index>| match compared(new, asked) {
            // What the leader itself says is the state that there is.
            Noted::Behind if is_leaders => (Noted::Fresh, true),
            told => (told, false),
        };
        if let Some(known) = self.furthest.as_deref().filter(|known| *known.text == *text) {
            // The everyday case: it is decoded already.
            return judged(known.index.as_ref()).0;
        }
        let index = Index::decode(text);
        let (told, is_lower) = judged(index.as_ref());
        if compared(index.as_ref(), self.furthest.as_deref()) == Noted::Behind && !is_lower {
            return told;
        }
        let before = self.furthest.as_ref().and_then(|known| known.index.as_ref());
        let moved_house = matches!((&index, before), (Some(new), Some(old)) if new.cluster != old.cluster);
        self.furthest = Some(Arc::new(Mark { text: text.into(), index }));
        if moved_house { Noted::OtherCluster } else { told }
    }

    /// What a read asks for; none before the first answer, and from servers that don't say.
    pub fn furthest(&self) -> Option<Arc<Mark>> {
        self.furthest.clone()
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
        for text in texts {
            seen.note(text, None, false);
        }
        seen.furthest().map(|mark| mark.text.clone())
    }

    #[test]
    fn the_furthest_index_of_a_cluster_is_kept() {
        let (nine, ten) = (index("a", "9"), index("a", "10"));
        assert_eq!(after(&[&nine, &ten]).as_deref(), Some(&*ten), "compared as numbers, not as text");
        assert_eq!(after(&[&ten, &nine]).as_deref(), Some(&*ten));
    }

    #[test]
    fn an_answer_is_compared_with_what_was_asked_for_and_not_with_what_came_since() {
        let mut seen = Consistency::default();
        seen.note(&index("a", "5"), None, false);
        let asked = seen.furthest();
        seen.note(&index("a", "9"), None, false);
        assert_eq!(seen.note(&index("a", "7"), asked.as_deref(), false), Noted::Fresh);
        assert_eq!(seen.note(&index("a", "4"), asked.as_deref(), false), Noted::Behind);
        assert_eq!(seen.note("opaque", asked.as_deref(), false), Noted::Unknown);
        seen.note(&index("a", "9"), None, false);
        assert_eq!(seen.note(&index("b", "1"), asked.as_deref(), false), Noted::OtherCluster);
    }

    #[test]
    fn the_leader_s_own_index_counts_also_where_it_is_lower() {
        let mut seen = Consistency::default();
        seen.note(&index("a", "9"), None, false);
        let asked = seen.furthest();
        for _ in 0..2 {
            // The second was asked as early, and hears the same.
            assert_eq!(seen.note(&index("a", "3"), asked.as_deref(), true), Noted::Fresh);
        }
        assert_eq!(seen.note(&index("a", "3"), asked.as_deref(), false), Noted::Behind);
        assert_eq!(seen.furthest().map(|mark| mark.text.to_string()), Some(index("a", "3")));
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
    fn an_index_proves_something_only_where_it_and_what_was_asked_for_can_be_compared() {
        let (five, opaque) = (index("a", "5"), "opaque");
        for (known, answer, noted) in [
            (five.as_str(), five.as_str(), Noted::Fresh),
            (&five, &index("a", "6"), Noted::Fresh),
            (&five, opaque, Noted::Unknown),
            (opaque, opaque, Noted::Unknown),
            (opaque, &five, Noted::Unknown),
            (&five, "a b", Noted::Unknown),
        ] {
            let mut seen = Consistency::default();
            assert_eq!(seen.note(known, None, false), Noted::Unknown, "nothing was asked for");
            let asked = seen.furthest();
            assert_eq!(seen.note(answer, asked.as_deref(), false), noted, "{known} {answer}");
        }
        // What was asked for is another cluster's than what is known by now.
        let mut seen = Consistency::default();
        seen.note(&five, None, false);
        let asked = seen.furthest();
        seen.note(&index("b", "1"), None, false);
        assert_eq!(seen.note(&index("b", "2"), asked.as_deref(), false), Noted::Unknown);
    }

    #[test]
    fn what_no_header_may_hold_is_dropped() {
        for illegal in ["", "a b", "a\r\nx: y", "ä", &"x".repeat(MAX_INDEX_BYTES + 1)] {
            assert_eq!(after(&[illegal]), None, "{illegal:?}");
        }
    }
}
