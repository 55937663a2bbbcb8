//! Why a file is no profile: which of its commands, and by which rule. The text is for the administrator who sent it; it shows nothing
//! of what nodes are to hold.

use super::{MAX_BYTES, MAX_EDITS};
use crate::windows::syncml::MessageError;
use crate::windows::xml::XmlError;

/// Why a file was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Longer than a profile may be.
    #[error("the file is larger than {MAX_BYTES} bytes")]
    TooLong,
    /// It is no XML, or XML that this server does not read.
    #[error("the file should be valid XML: {0}")]
    Xml(XmlError),
    /// It is a whole document.
    #[error("the file should hold the commands alone, without <?xml …?> or other processing instructions")]
    Instruction,
    /// There is nothing in it.
    #[error("the file holds no command")]
    Empty,
    /// There is too much in it.
    #[error("the file sets more than {MAX_EDITS} nodes: make several profiles of it")]
    TooMany,
    /// Something is wrong with one command.
    #[error("command {number} ({}): {rule}", name(verb, target))]
    Command {
        /// Which one, counted from 1, as they stand in the file; an `Atomic` is not counted.
        number: usize,
        /// What it is called in the file.
        verb: String,
        /// The node that it is about, as far as it says.
        target: String,
        /// What it breaks.
        rule: Rule,
    },
    /// Something is wrong with the whole.
    #[error("{0}")]
    Whole(Rule),
}

/// What a profile must keep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// Another element than a command.
    #[error("only Add, Replace, Delete, Atomic and, for SCEP, Exec can stand here")]
    Verb,
    /// Text where there can be none.
    #[error("text stands between the commands")]
    Text,
    /// Something beside an `Atomic`.
    #[error("an Atomic has to hold all other commands of the file")]
    AtomicIsNotAll,
    /// An `Atomic` in another one.
    #[error("an Atomic can hold Add, Replace, Delete and, for SCEP, Exec, and at least one of them")]
    AtomicHolds,
    /// An element that a command does not have.
    #[error("<{0}> has no place in it")]
    Part(String),
    /// No `Item`.
    #[error("it has no Item")]
    NoItem,
    /// No address, or one that cannot be one.
    #[error("its LocURI is missing, begins with a slash, is too long, or holds control characters or .. segments")]
    LocUri,
    /// Another variable than that of SCEP in an address.
    #[error("a LocURI can hold no variable but $FLEET_VAR_SCEP_WINDOWS_CERTIFICATE_ID")]
    Variable,
    /// A format that there is none of.
    #[error("its Format must be chr, int, bool, b64, xml, node, null, bin, float, date or time")]
    Format,
    /// Nothing to set.
    #[error("it has no Data, and its Format is not node or null")]
    NoData,
    /// What the message's parts must keep.
    #[error("{0}")]
    Message(MessageError),
    /// A node that the server sets itself.
    #[error("{0} can't be set by a profile")]
    Reserved(&'static str),
    /// `Exec` of something else than a SCEP enrollment.
    #[error(
        "Exec is for SCEP alone: …/ClientCertificateInstall/SCEP/$FLEET_VAR_SCEP_WINDOWS_CERTIFICATE_ID/Install/Enroll"
    )]
    Exec,
    /// A SCEP node under another name than the variable.
    #[error("after ClientCertificateInstall/SCEP/ has to come $FLEET_VAR_SCEP_WINDOWS_CERTIFICATE_ID")]
    ScepName,
    /// A node that is none of SCEP's in a SCEP profile.
    #[error("a profile that gets a certificate by SCEP can set nothing else")]
    ScepAlone,
    /// Device and user in one SCEP profile.
    #[error("a SCEP profile is either the device's or the user's: its nodes have to be all ./Device or all ./User")]
    ScepScopes,
    /// A node that SCEP needs.
    #[error("the SCEP profile has no {0}")]
    ScepMissing(&'static str),
    /// Not one `Exec` in a SCEP profile.
    #[error("a SCEP profile needs exactly one Exec, of Install/Enroll")]
    ScepExec,
    /// A node that is set twice in an `Atomic`.
    #[error("an Atomic can set a node once")]
    Twice,
    /// A policy before the ADMX file that it is of.
    #[error("the ADMX file of {0} has to be installed before its policies are set")]
    AdmxLater(String),
}

fn name(verb: &str, target: &str) -> String {
    if target.is_empty() { verb.to_owned() } else { format!("{verb} {target}") }
}
