//! What programs that start a server want to know once it is ready: where it is reached, as one JSON object in a file.

use std::path::{Path, PathBuf, absolute};

use anyhow::Context;
use serde_json::json;

use super::Addresses;

/// Writes the file: `device_url`, `admin_url`, `ops_url`, the listeners' `device`, `admin` and `ops` (address and port),
/// `ca_file` (null without a self-made certificate), `data_dir`, `pid`, and `token` where one was made. It appears as a whole, or not at all.
///
/// # Errors
/// The file cannot be written.
pub fn write(file: &Path, addresses: &Addresses, data_dir: &Path, token: Option<&str>) -> anyhow::Result<()> {
    let place = || format!("cannot write {}", file.display());
    let ca_file = addresses.ca_file.as_deref().map(absolute).transpose().with_context(place)?;
    let mut info = json!({
        "device_url": addresses.device_url,
        "admin_url": addresses.admin_url,
        "ops_url": addresses.ops_url,
        "device": addresses.device,
        "admin": addresses.admin,
        "ops": addresses.ops,
        "ca_file": ca_file,
        "data_dir": absolute(data_dir).with_context(place)?,
        "pid": std::process::id(),
    });
    if let (Some(token), Some(info)) = (token, info.as_object_mut()) {
        info.insert("token".into(), token.into());
    }
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    std::fs::write(&unfinished, format!("{info:#}\n")).with_context(place)?;
    std::fs::rename(&unfinished, file).with_context(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_elsewhere_finds_the_server() {
        let address = |port| ([127, 0, 0, 1], port).into();
        let addresses = Addresses {
            device: address(8443),
            admin: address(8444),
            ops: address(8445),
            device_url: "https://mdm.example.com".into(),
            admin_url: "https://localhost:8444".into(),
            ops_url: "http://127.0.0.1:8445".into(),
            ca_file: Some("data/tls/ca.pem".into()),
        };
        let file = std::env::temp_dir().join(format!("rookery-info-{}.json", std::process::id()));
        write(&file, &addresses, Path::new("data"), Some("secret")).unwrap();
        let info: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(info["device_url"], "https://mdm.example.com");
        assert_eq!(info["device"], "127.0.0.1:8443");
        assert_eq!(info["pid"], std::process::id());
        assert_eq!(info["token"], "secret");
        for key in ["data_dir", "ca_file"] {
            assert!(Path::new(info[key].as_str().unwrap()).is_absolute(), "{key}: {}", info[key]);
        }
    }
}
