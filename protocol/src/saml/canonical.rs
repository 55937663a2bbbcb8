//! Exclusive XML canonicalization without comments (W3C, 2002) of one element of a document.

use super::tree::{Attribute, Element, Node, Scope};

/// The canonical form of the element that `path` leads to from the root, each step a child's number among the elements of its
/// parent; `without`: a child of it that is left out (a signature of it). `inclusive`: prefixes that are treated inclusively.
pub(super) fn canonical(root: &Element, path: &[usize], without: Option<usize>, inclusive: &[String]) -> String {
    let (mut scope, mut element) = (Scope::new(), root);
    for step in path {
        scope.extend(element.declared.iter().cloned());
        let Some(child) = element.elements().nth(*step) else { return String::new() };
        element = child;
    }
    let mut writer = Canonicalizer { inclusive, out: String::new() };
    writer.write(element, without, &mut scope, &mut Scope::new());
    writer.out
}

struct Canonicalizer<'a> {
    inclusive: &'a [String],
    out: String,
}

impl Canonicalizer<'_> {
    fn write(&mut self, element: &Element, without: Option<usize>, scope: &mut Scope, rendered: &mut Scope) {
        let (scoped, shown) = (scope.len(), rendered.len());
        scope.extend(element.declared.iter().cloned());
        self.out.push('<');
        self.name(&element.prefix, &element.name);
        for (prefix, namespace) in self.shows(element, scope, rendered) {
            self.out.push_str(" xmlns");
            if !prefix.is_empty() {
                self.out.push(':');
                self.out.push_str(&prefix);
            }
            self.value(&namespace);
            rendered.push((prefix, namespace));
        }
        let mut attributes: Vec<&Attribute> = element.attributes.iter().collect();
        attributes.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        for Attribute { prefix, name, value, .. } in attributes {
            self.out.push(' ');
            self.name(prefix, name);
            self.value(value);
        }
        self.out.push('>');
        let mut number = 0;
        for node in &element.nodes {
            match node {
                Node::Text(text) => self.text(text),
                Node::Element(child) => {
                    if without != Some(number) {
                        self.write(child, None, scope, rendered);
                    }
                    number += 1;
                }
            }
        }
        self.out.push_str("</");
        self.name(&element.prefix, &element.name);
        self.out.push('>');
        scope.truncate(scoped);
        rendered.truncate(shown);
    }

    /// The namespaces that an element shows, in their order: those of its own name and its attributes' names, and those that are
    /// treated inclusively, where nothing around it shows the same already.
    fn shows(&self, element: &Element, scope: &Scope, rendered: &Scope) -> Scope {
        let of = |known: &Scope, prefix: &str| {
            known.iter().rev().find(|(one, _)| one == prefix).map(|(_, namespace)| namespace.clone())
        };
        let mut used = vec![(element.prefix.clone(), element.namespace.clone())];
        let prefixed = element.attributes.iter().filter(|attribute| !attribute.prefix.is_empty());
        used.extend(prefixed.map(|attribute| (attribute.prefix.clone(), attribute.namespace.clone())));
        let inclusive = self.inclusive.iter().filter_map(|prefix| Some((prefix.clone(), of(scope, prefix)?)));
        used.extend(inclusive);
        used.retain(|(prefix, namespace)| prefix != "xml" && *namespace != of(rendered, prefix).unwrap_or_default());
        used.sort();
        used.dedup();
        used
    }

    fn name(&mut self, prefix: &str, name: &str) {
        if !prefix.is_empty() {
            self.out.push_str(prefix);
            self.out.push(':');
        }
        self.out.push_str(name);
    }

    fn value(&mut self, value: &str) {
        self.out.push_str("=\"");
        for letter in value.chars() {
            match letter {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '"' => self.out.push_str("&quot;"),
                '\t' => self.out.push_str("&#x9;"),
                '\n' => self.out.push_str("&#xA;"),
                '\r' => self.out.push_str("&#xD;"),
                other => self.out.push(other),
            }
        }
        self.out.push('"');
    }

    fn text(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '\r' => self.out.push_str("&#xD;"),
                other => self.out.push(other),
            }
        }
    }
}
