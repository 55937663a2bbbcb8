//! Keeps what is wrong with one answer of the server, all of it, in the order in which it was found.

use protocol::windows::xml::Element;

/// What is wrong with one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Judge {
    breaches: Vec<String>,
}

impl Judge {
    /// Notes a breach where a rule is not kept.
    pub(super) fn demand(&mut self, kept: bool, breach: impl FnOnce() -> String) {
        if !kept {
            self.breaches.push(breach());
        }
    }

    /// Demands that an element says this.
    pub(super) fn says(&mut self, what: &str, found: Option<&str>, expected: &str) {
        self.demand(found == Some(expected), || format!("{what} is {found:?} instead of {expected:?}"));
    }

    /// Demands that the elements in `parent` stand in this order, are no others, and none of them twice that may not be.
    /// A name with `*` may stand several times.
    pub(super) fn order(&mut self, parent: &Element, namespace: &str, names: &[&str]) {
        let mut place = 0;
        let mut seen = None;
        for child in &parent.children {
            let name = child.name.as_str();
            self.demand(child.is(namespace, name), || format!("{name} in {} has the wrong namespace", parent.name));
            let found = names.iter().position(|known| known.trim_end_matches('*') == name);
            let Some(found) = found else {
                self.breaches.push(format!("{} holds {name}", parent.name));
                continue;
            };
            self.demand(found >= place, || format!("{name} stands too late in {}", parent.name));
            let again = seen == Some(found) && !names[found].ends_with('*');
            self.demand(!again, || format!("{name} stands twice in {}", parent.name));
            (place, seen) = (place.max(found), Some(found));
        }
    }

    /// Everything that is wrong.
    pub(super) fn breaches(self) -> Vec<String> {
        self.breaches
    }
}
