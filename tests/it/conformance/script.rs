//! Cases as text: who does what, and what must come of it.
//!
//! ```text
//! == a command comes and goes          a group: devices that its cases share
//! mac m                                before the first case: setting up
//! m enroll
//! -- it is handed out once             a case
//! admin queue m SecurityInfo as c
//! m Idle = command c
//! m Acknowledged c = nothing
//! ```
//!
//! A group without `--` is one case. `#` begins a comment. What stands behind ` = ` must come of the step.

/// Cases that share devices.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) setup: Vec<Step>,
    pub(crate) cases: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) title: String,
    pub(crate) steps: Vec<Step>,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) who: String,
    pub(crate) verb: String,
    pub(crate) args: Vec<String>,
    /// What must come of it, where the line says so.
    pub(crate) expected: Option<String>,
    /// The line, for messages.
    pub(crate) text: String,
}

impl Group {
    /// How many cases it counts for.
    pub(crate) fn count(&self) -> usize {
        self.cases.len().max(1)
    }
}

impl Step {
    fn parse(line: &str) -> Self {
        let (doing, expected) = match line.split_once(" = ") {
            Some((doing, expected)) => (doing, Some(expected.trim().to_owned())),
            None => (line, None),
        };
        let mut words = doing.split_whitespace().map(str::to_owned);
        let (who, verb) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        Self { who, verb, args: words.collect(), expected, text: line.to_owned() }
    }

    /// The argument at a place, or an empty text.
    pub(crate) fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }

    /// The argument that follows a word, for example `as c`.
    pub(crate) fn after(&self, word: &str) -> Option<&str> {
        let place = self.args.iter().position(|arg| arg == word)?;
        self.args.get(place + 1).map(String::as_str)
    }

    /// The value of an argument `key:value`.
    pub(crate) fn option(&self, key: &str) -> Option<&str> {
        self.args.iter().find_map(|arg| arg.strip_prefix(key)?.strip_prefix(':'))
    }
}

/// Reads a script.
pub(crate) fn parse(text: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(title) = line.strip_prefix("== ") {
            groups.push(Group { title: title.to_owned(), setup: Vec::new(), cases: Vec::new() });
            continue;
        }
        let group = groups.last_mut().expect("a script begins with a group");
        if let Some(title) = line.strip_prefix("-- ") {
            group.cases.push(Case { title: title.to_owned(), steps: Vec::new() });
            continue;
        }
        let steps = group.cases.last_mut().map_or(&mut group.setup, |case| &mut case.steps);
        steps.push(Step::parse(line));
    }
    groups
}

/// The names that a text means: `a,b`, or `c1..c9`.
pub(crate) fn names(text: &str) -> Vec<String> {
    let numbered = |text: &str| {
        let (first, last) = text.split_once("..")?;
        let stem = first.trim_end_matches(|one: char| one.is_ascii_digit());
        let number = |name: &str| name.strip_prefix(stem)?.parse::<u32>().ok();
        Some((number(first)?..=number(last)?).map(|number| format!("{stem}{number}")).collect::<Vec<_>>())
    };
    text.split(',').flat_map(|name| numbered(name).unwrap_or_else(|| vec![name.to_owned()])).collect()
}
