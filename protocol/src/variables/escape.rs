//! How a value is written where it is put, so that it stays the text that it is.

/// What a rendered text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// XML whose texts are texts: a property list.
    Xml,
    /// XML whose texts may themselves be markup, as in SyncML: a text with an escaped `<` in it, and a CDATA section with a `<`.
    Markup,
    /// JSON, in which variables stand inside strings.
    Json,
    /// Something without a rule of its own.
    None,
}

/// A piece of XML: where it ends, and how a value is written in it.
#[derive(Clone, Copy, Debug)]
struct Piece {
    end: usize,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// References instead of what XML reserves.
    Once,
    /// The same again, for markup that itself stands in XML.
    Twice,
    /// As it is, but for the mark that ends CDATA.
    Cdata,
}

/// The places of one text, asked in their order.
pub(super) struct Places<'a> {
    text: &'a str,
    escape: Escape,
    piece: Piece,
}

impl<'a> Places<'a> {
    pub(super) const fn new(text: &'a str, escape: Escape) -> Self {
        Self { text, escape, piece: Piece { end: 0, how: How::Once } }
    }

    /// Writes a value as the place at `at` needs it.
    pub(super) fn write(&mut self, at: usize, value: &str, out: &mut String) {
        match self.escape {
            Escape::None => out.push_str(value),
            Escape::Json => {
                let quoted = serde_json::Value::from(value).to_string();
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
            Escape::Xml | Escape::Markup => match self.how(at) {
                How::Once => out.push_str(&escaped(value)),
                How::Twice => out.push_str(&escaped(&escaped(value))),
                How::Cdata => out.push_str(&carried(value).replace("]]>", "]]]]><![CDATA[>")),
            },
        }
    }

    fn how(&mut self, at: usize) -> How {
        while self.piece.end <= at {
            self.piece = next_piece(self.text, self.piece.end, self.escape == Escape::Markup);
        }
        self.piece.how
    }
}

/// The piece of XML that begins here: a CDATA section, a comment, a tag, or what stands between them.
fn next_piece(text: &str, start: usize, markup: bool) -> Piece {
    let rest = &text[start..];
    let until = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
    let (length, how) = if let Some(content) = rest.strip_prefix("<![CDATA[") {
        let length = until("]]>");
        let inner = &content[..length.saturating_sub("<![CDATA[]]>".len()).min(content.len())];
        (length, if markup && inner.contains('<') { How::Once } else { How::Cdata })
    } else if rest.starts_with("<!--") {
        (until("-->"), How::Once)
    } else if rest.starts_with('<') {
        (until(">"), How::Once)
    } else {
        let length = rest.find('<').unwrap_or(rest.len());
        (length, if markup && has_escaped_tag(&rest[..length]) { How::Twice } else { How::Once })
    };
    Piece { end: start + length.max(1), how }
}

fn has_escaped_tag(text: &str) -> bool {
    ["&lt;", "&#60;", "&#x3c;", "&#x3C;"].iter().any(|reference| text.contains(reference))
}

/// A value with references in place of what XML reserves, in texts and in attributes.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for letter in carried(value).chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // Readers turn a bare carriage return into a line feed.
            '\r' => escaped.push_str("&#13;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A value without the control characters that no XML document can hold, not even by number.
fn carried(value: &str) -> String {
    let is_carried = |letter: char| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..);
    value.chars().filter(|letter| is_carried(*letter)).collect()
}
