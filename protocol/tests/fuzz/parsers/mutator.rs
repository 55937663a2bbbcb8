//! Makes inputs out of seeds: bytes for every format, elements for XML and JSON, nodes for DER.
//!
//! Everything follows from one number, so that a run repeats. Start with [`Mutator::next`].

/// The longest input that is made.
const MAX_BYTES: usize = 16 * 1024;

/// How inputs are built, beside their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Bytes without a structure that is known here.
    Bytes,
    /// Text with `<` and `>`, or with brackets.
    Text,
    /// DER: tags, lengths and bodies.
    Der,
}

/// A source of inputs.
#[derive(Debug)]
pub(crate) struct Mutator {
    state: u64,
}

impl Mutator {
    /// A source that yields the same inputs for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    /// An input made of one of the seeds.
    pub(crate) fn next(&mut self, seeds: &[Vec<u8>], tokens: &[&[u8]], shape: Shape) -> Vec<u8> {
        let mut input = self.pick(seeds).cloned().unwrap_or_default();
        for _ in 0..=self.below(4) {
            match shape {
                Shape::Der if self.below(3) > 0 => self.change_node(&mut input),
                Shape::Text if self.below(3) > 0 => self.change_text(&mut input, tokens),
                _ => self.change_bytes(&mut input, seeds, tokens),
            }
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn random(&mut self) -> u64 {
        // xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators").
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        ((self.random() >> 33) as usize) % bound.max(1)
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let index = self.below(all.len());
        all.get(index)
    }

    /// A place and a length within so many bytes.
    fn span(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = (length - start).min(if self.below(4) == 0 { MAX_BYTES } else { 32 });
        start..start + self.below(longest + 1)
    }

    fn change_bytes(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>], tokens: &[&[u8]]) {
        const ODD: [u8; 12] = [0, 1, 0x7F, 0x80, 0x81, 0x84, 0xC0, 0xFE, 0xFF, b'<', b'&', b'"'];
        let place = self.below(input.len());
        match self.below(9) {
            0 if !input.is_empty() => input[place] ^= 1 << self.below(8),
            1 if !input.is_empty() => input[place] = ODD[self.below(ODD.len())],
            2 if !input.is_empty() => input[place] = input[place].wrapping_add(self.below(5) as u8).wrapping_sub(2),
            3 => drop(input.drain(self.span(input.len()))),
            4 => {
                let copied = input[self.span(input.len())].to_vec();
                self.insert(input, &copied);
            }
            5 => {
                let token = self.pick(tokens).copied().unwrap_or_default();
                self.insert(input, token);
            }
            6 => {
                let other = self.pick(seeds).cloned().unwrap_or_default();
                let piece = other[self.span(other.len())].to_vec();
                self.insert(input, &piece);
            }
            7 => input.truncate(place),
            _ => {
                let unit = input[self.span(input.len())].to_vec();
                let times = 1 << self.below(10);
                let room = MAX_BYTES.saturating_sub(input.len());
                let repeated: Vec<u8> = unit.iter().copied().cycle().take((unit.len() * times).min(room)).collect();
                self.insert(input, &repeated);
            }
        }
    }

    fn insert(&mut self, input: &mut Vec<u8>, piece: &[u8]) {
        let place = self.below(input.len() + 1);
        input.splice(place..place, piece.iter().copied());
    }

    /// Removes, repeats, swaps or replaces a piece that stands between two marks, for example a tag or a quoted text.
    fn change_text(&mut self, input: &mut Vec<u8>, tokens: &[&[u8]]) {
        let is_mark = |byte: &u8| b"<>\"{}[],:&;".contains(byte);
        let marks: Vec<usize> = (0..input.len()).filter(|place| is_mark(&input[*place])).collect();
        let (Some(first), Some(second)) = (self.pick(&marks).copied(), self.pick(&marks).copied()) else { return };
        let near = marks.iter().copied().find(|mark| *mark > first).unwrap_or(first);
        let (from, to) = if self.below(3) == 0 { (first.min(second), first.max(second)) } else { (first, near) };
        let token = self.pick(tokens).copied().unwrap_or_default().to_vec();
        match self.below(5) {
            0 => drop(input.drain(from..to)),
            1 => {
                let piece = input[from..to].to_vec();
                input.splice(second..second, piece);
            }
            2 => drop(input.splice(from..to, token)),
            3 => drop(input.splice(to..to, token)),
            _ => {
                let piece = input[from..to].to_vec();
                let times = self.below(200).min(MAX_BYTES / piece.len().max(1));
                input.splice(from..from, piece.repeat(times));
            }
        }
    }

    /// Changes one node of a DER document and makes the lengths around it right again.
    fn change_node(&mut self, input: &mut Vec<u8>) {
        let mut nodes = der::read(input, 0);
        let count = der::count(&nodes);
        let chosen = self.below(count);
        let (action, tag, other) = (self.below(8), self.random() as u8, self.below(count));
        let copied = der::find(&nodes, &mut { other }).cloned();
        let noise: Vec<u8> = (0..self.below(40)).map(|_| self.random() as u8).collect();
        der::change(&mut nodes, &mut { chosen }, &mut |siblings, index| match action {
            0 => drop(siblings.remove(index)),
            1 => siblings.insert(index, siblings[index].clone()),
            2 => siblings[index].tag = tag,
            3 => siblings[index].content = der::Content::Bytes(noise.clone()),
            4 => siblings.extend(copied.clone()),
            5 => siblings[index].long_length = true,
            6 => siblings[index].indefinite = true,
            _ => siblings.swap(index, 0),
        });
        *input = der::write(&nodes);
    }
}

/// A loose reading of DER, for changing it.
pub(crate) mod der {
    /// The one digest that quick checks know, as an AlgorithmIdentifier.
    const SHA_256: &[u8] = &[0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0];
    /// Nodes inside each other at most.
    const DEEPEST: usize = 16;

    #[derive(Clone, Debug)]
    pub(super) struct Node {
        pub(super) tag: u8,
        pub(super) content: Content,
        /// Written with one byte of length more than needed, which DER forbids.
        pub(super) long_length: bool,
        /// Written as BER does that does not know the length yet.
        pub(super) indefinite: bool,
    }

    #[derive(Clone, Debug)]
    pub(super) enum Content {
        Bytes(Vec<u8>),
        Nodes(Vec<Node>),
    }

    /// Reads nodes as far as there are any; the rest becomes one without a meaning.
    pub(super) fn read(mut bytes: &[u8], depth: usize) -> Vec<Node> {
        let mut nodes = Vec::new();
        while let Some((tag, body, rest)) = split(bytes) {
            let deeper = tag & 0x20 != 0 && depth < DEEPEST;
            let content = if deeper { Content::Nodes(read(body, depth + 1)) } else { Content::Bytes(body.to_vec()) };
            nodes.push(Node { tag, content, long_length: false, indefinite: false });
            bytes = rest;
        }
        nodes
    }

    fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
        let (&tag, rest) = bytes.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let octets = usize::from(first & 0x7F);
        let (length, rest) = match first {
            0..0x80 => (usize::from(first), rest),
            _ if octets <= 3 => {
                let (length, rest) = rest.split_at_checked(octets)?;
                (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (body, rest) = rest.split_at_checked(length)?;
        Some((tag, body, rest))
    }

    pub(super) fn count(nodes: &[Node]) -> usize {
        nodes.iter().map(|node| 1 + node.children().map_or(0, count)).sum()
    }

    pub(super) fn find<'a>(nodes: &'a [Node], left: &mut usize) -> Option<&'a Node> {
        for node in nodes {
            if *left == 0 {
                return Some(node);
            }
            *left -= 1;
            if let Some(found) = node.children().and_then(|children| find(children, left)) {
                return Some(found);
            }
        }
        None
    }

    /// Lets `apply` change the siblings of the node with this number.
    pub(super) fn change(
        nodes: &mut Vec<Node>,
        left: &mut usize,
        apply: &mut impl FnMut(&mut Vec<Node>, usize),
    ) -> bool {
        for index in 0..nodes.len() {
            if *left == 0 {
                apply(nodes, index);
                return true;
            }
            *left -= 1;
            if let Content::Nodes(children) = &mut nodes[index].content
                && change(children, left, apply)
            {
                return true;
            }
        }
        false
    }

    pub(super) fn write(nodes: &[Node]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for node in nodes {
            let body = match &node.content {
                Content::Bytes(bytes) => bytes.clone(),
                Content::Nodes(children) => write(children),
            };
            bytes.push(node.tag);
            if node.indefinite {
                bytes.push(0x80);
                bytes.extend(body);
                bytes.extend([0, 0]);
                continue;
            }
            let length = body.len();
            match (length, node.long_length) {
                (0..0x80, false) => bytes.push(length as u8),
                (0..0x100, false) | (0..0x80, true) => bytes.extend([0x81, length as u8]),
                (0..0x10000, _) => bytes.extend([0x82, (length >> 8) as u8, length as u8]),
                _ => bytes.extend([0x83, (length >> 16) as u8, (length >> 8) as u8, length as u8]),
            }
            bytes.extend(body);
        }
        bytes
    }

    /// A signed message with this certificate alone, and with nothing that is not signed.
    pub(crate) fn signed_parts(message: &[u8], certificate: &[u8]) -> Option<Vec<u8>> {
        let mut nodes = read(message, 0);
        let data = nodes.first_mut()?.children_mut()?.get_mut(1)?.children_mut()?.first_mut()?.children_mut()?;
        let place = data.iter().position(|node| node.tag == 0xA0)?;
        data[place].content = Content::Bytes(certificate.to_vec());
        data.get_mut(1)?.content = Content::Bytes(SHA_256.to_vec());
        data.retain(|node| node.tag != 0xA1);
        data.last_mut()?.children_mut()?.first_mut()?.children_mut()?.retain(|node| node.tag != 0xA1);
        Some(write(&nodes))
    }

    impl Node {
        fn children_mut(&mut self) -> Option<&mut Vec<Self>> {
            match &mut self.content {
                Content::Nodes(children) => Some(children),
                Content::Bytes(_) => None,
            }
        }

        fn children(&self) -> Option<&[Self]> {
            match &self.content {
                Content::Nodes(children) => Some(children),
                Content::Bytes(_) => None,
            }
        }
    }
}
