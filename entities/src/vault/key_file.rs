//! Where root keys come from: a file for nobody else's eyes, or a text that the environment carries.
//!
//! The file is made once, and only ever replaced as a whole: a crash leaves the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::ring::{KeyId, Ring, RingError, new_key};

/// The largest file that is read.
const MAX_BYTES: u64 = 64 * 1024;
/// What stands above the keys.
const HEADING: &str = "\
# Root keys of a Rookery server. Whoever has this file and the database can read every secret in it; without this file
# nobody can. Keep a copy, but not beside copies of the database. The last key seals; all of them open.
";

/// Where root keys come from.
#[derive(Clone)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// The keys themselves.
    Text(Zeroizing<String>),
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("the root keys in {path} cannot be {verb}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// What went wrong.
        error: io::Error,
    },
    /// Everybody can read it.
    #[error("everybody can read the root keys in {0}: chmod 400 it")]
    Open(PathBuf),
    /// What it holds is no key ring.
    #[error("{place}: {error}")]
    Unreadable {
        /// The file, or the setting.
        place: String,
        /// Why.
        error: RingError,
    },
    /// Keys from the environment cannot be changed here.
    #[error("the root keys come from the environment, which cannot be changed from here: {0}")]
    Fixed(&'static str),
}

impl KeySource {
    /// Reads the keys; `None` when there is no such file.
    ///
    /// # Errors
    /// They cannot be read, are no keys, or are open to everybody.
    pub fn load(&self) -> Result<Option<Ring>, KeyFileError> {
        let unreadable = |error| KeyFileError::Unreadable { place: self.to_string(), error };
        match self.text()? {
            Some(text) => Ring::parse(&text).map(Some).map_err(unreadable),
            None => Ok(None),
        }
    }

    /// Makes the file with a first key, unless somebody else was faster; returns what stands in it then.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(&self) -> Result<Ring, KeyFileError> {
        let Self::File(path) = self else { return Err(KeyFileError::Fixed("name a key in it")) };
        let text = Zeroizing::new(format!("{HEADING}{}\n", *fresh(self)?));
        let made = write_beside(path, &text).and_then(|beside| {
            let linked = fs::hard_link(&beside, path); // unlike a rename, this never replaces a file
            fs::remove_file(&beside)?;
            match linked {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => sync_folder(path),
            }
        });
        made.map_err(|error| self.io("written", error))?;
        self.load()?.ok_or_else(|| self.io("read", io::ErrorKind::NotFound.into()))
    }

    /// Adds a key, which seals from then on; returns its name.
    ///
    /// # Errors
    /// The keys come from the environment, or the file cannot be changed.
    pub fn add(&self) -> Result<KeyId, KeyFileError> {
        let key = fresh(self)?;
        self.rewrite(|text| Zeroizing::new(format!("{}\n{}\n", text.trim_end(), *key)))?;
        Ring::parse(&key)
            .ok()
            .and_then(|ring| ring.active_id())
            .ok_or_else(|| self.io("written", io::ErrorKind::InvalidData.into()))
    }

    /// Removes keys that nothing needs any more.
    ///
    /// # Errors
    /// The keys come from the environment, or the file cannot be changed.
    pub fn remove(&self, gone: &[KeyId]) -> Result<(), KeyFileError> {
        let is_gone = |line: &str| {
            let only = Ring::parse(line).ok();
            only.is_some_and(|ring| ring.ids().all(|id| gone.contains(&id)))
        };
        let keep = |text: &str| {
            let kept = text.lines().filter(|line| !is_gone(line));
            Zeroizing::new(kept.fold(String::new(), |all, line| all + line + "\n"))
        };
        self.rewrite(keep)
    }

    /// Replaces the file; one process at a time.
    fn rewrite(&self, change: impl FnOnce(&str) -> Zeroizing<String>) -> Result<(), KeyFileError> {
        let Self::File(path) = self else {
            return Err(KeyFileError::Fixed("add a line to it, or take one away, and restart"));
        };
        let changing = || {
            File::open(path)?.lock()?;
            let text = Zeroizing::new(fs::read_to_string(path)?);
            let beside = write_beside(path, &change(&text))?;
            fs::rename(beside, path)?;
            sync_folder(path)
        };
        changing().map_err(|error| self.io("changed", error))
    }

    fn text(&self) -> Result<Option<Zeroizing<String>>, KeyFileError> {
        let path = match self {
            Self::Text(text) => return Ok(Some(text.clone())),
            Self::File(path) => path,
        };
        let facts = match fs::metadata(path) {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io("read", error)),
        };
        if is_open(&facts) {
            return Err(KeyFileError::Open(path.clone()));
        }
        if facts.len() > MAX_BYTES {
            return Err(self.io("read", io::Error::other("it is too large to be a key file")));
        }
        fs::read_to_string(path).map(|text| Some(Zeroizing::new(text))).map_err(|error| self.io("read", error))
    }

    fn io(&self, verb: &'static str, error: io::Error) -> KeyFileError {
        let path = match self {
            Self::File(path) => path.clone(),
            Self::Text(_) => PathBuf::new(),
        };
        KeyFileError::Io { path, verb, error }
    }
}

fn fresh(source: &KeySource) -> Result<Zeroizing<String>, KeyFileError> {
    new_key().map_err(|error| KeyFileError::Unreadable { place: source.to_string(), error: error.into() })
}

/// Writes a file beside the one it shall become, and makes sure that it is on the disk.
fn write_beside(path: &Path, text: &str) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    let _ = fs::remove_file(&beside); // left behind by a process with our number that was killed
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o400);
    let mut file = options.open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(beside)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Whether those can read it who are neither its owner nor in its group.
fn is_open(facts: &fs::Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::PermissionsExt::mode(&facts.permissions()) & 0o007 != 0;
    #[cfg(not(unix))]
    return false;
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(out, "the root keys in {}", path.display()),
            Self::Text(_) => out.write_str("the root keys in the setting vault.keys"),
        }
    }
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{self}")
    }
}
