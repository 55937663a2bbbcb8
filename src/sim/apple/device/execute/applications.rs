//! Applications and books: installed, listed, removed.

use protocol::apple::plist::Value;

use super::super::entries;
use super::{Answer, Doing};
use crate::sim::apple::contents::Application;

impl Doing<'_> {
    pub(super) fn applications(&mut self) -> Option<Answer> {
        Some(match self.request_type {
            "InstallApplication" => self.install_application(),
            "InstallEnterpriseApplication" => {
                let described = self.text("ManifestURL").is_some()
                    || self.arguments.dictionary("Manifest").is_ok_and(|manifest| manifest.is_some());
                if described { Answer::acknowledged() } else { Answer::malformed() }
            }
            "InstalledApplicationList" => self.installed_applications(),
            "ManagedApplicationList" => {
                let managed =
                    self.chosen_applications(true).into_iter().map(|one| (one.identifier.clone(), managed(one)));
                Answer::acknowledged().with("ManagedApplicationList", Value::Dictionary(managed.collect()))
            }
            "RemoveApplication" => self.remove_application(),
            "ApplyRedemptionCode" if !self.is_managed(self.text("Identifier")) => not_managed(),
            "InviteToProgram" => Answer::acknowledged().with("InvitationResult", "Acknowledged"),
            "ManagedApplicationAttributes" => self.of_applications("ApplicationAttributes", "Attributes"),
            "ManagedApplicationConfiguration" => self.of_applications("ApplicationConfigurations", "Configuration"),
            "ManagedApplicationFeedback" => self.of_applications("ManagedApplicationFeedback", "Feedback"),
            _ => return None,
        })
    }

    pub(super) fn media(&mut self) -> Option<Answer> {
        let named = ["PersistentID", "MediaURL"].into_iter().find_map(|key| self.text(key).map(str::to_owned));
        let number = self.arguments.integer("iTunesStoreID").ok().flatten();
        let name = named.or_else(|| number.map(|number| number.to_string()));
        Some(match (self.request_type, name) {
            ("InstallMedia" | "RemoveMedia", None) => Answer::malformed(),
            ("InstallMedia", Some(name)) => {
                self.contents.books.push(name);
                Answer::acknowledged().with("MediaType", "Book").with("State", "Installed")
            }
            ("RemoveMedia", Some(name)) => {
                self.contents.books.retain(|book| *book != name);
                Answer::acknowledged()
            }
            ("ManagedMediaList", _) => {
                let books = self.contents.books.iter();
                let books = books.map(|name| {
                    Value::Dictionary(entries([("PersistentID", name.as_str().into()), ("State", "Installed".into())]))
                });
                Answer::acknowledged().with("Books", Value::Array(books.collect()))
            }
            _ => return None,
        })
    }

    fn install_application(&mut self) -> Answer {
        let number = self.arguments.integer("iTunesStoreID").ok().flatten();
        let named = self.text("Identifier").map(str::to_owned);
        let identifier = named.or_else(|| number.map(|number| format!("com.example.app{number}")));
        let Some(identifier) =
            identifier.or_else(|| self.text("ManifestURL").map(|_| "com.example.inhouse".to_owned()))
        else {
            return Answer::malformed();
        };
        let applications = &mut self.contents.applications;
        match applications.iter_mut().find(|application| application.identifier == identifier) {
            Some(present) => present.managed = true,
            None => {
                let name = identifier.rsplit('.').next().unwrap_or_default().to_owned();
                applications.push(Application { managed: true, ..Application::new(&identifier, &name, "1.0") });
            }
        }
        Answer::acknowledged().with("Identifier", identifier).with("State", "Installing")
    }

    fn installed_applications(&self) -> Answer {
        // A personal device tells nothing of what its user installed.
        let managed_only = self.is_true("ManagedAppsOnly") || self.is_personal();
        let list = self.chosen_applications(managed_only).into_iter().map(|application| {
            Value::Dictionary(entries([
                ("Identifier", application.identifier.as_str().into()),
                ("Name", application.name.as_str().into()),
                ("Version", application.version.as_str().into()),
                ("ShortVersion", application.version.as_str().into()),
                ("BundleSize", application.bytes.into()),
                ("IsValidated", application.managed.into()),
                ("Installing", false.into()),
            ]))
        });
        Answer::acknowledged().with("InstalledApplicationList", Value::Array(list.collect()))
    }

    fn chosen_applications(&self, managed_only: bool) -> Vec<&Application> {
        let asked = self.texts("Identifiers");
        let chosen = |one: &&Application| asked.is_empty() || asked.contains(&one.identifier.as_str());
        let applications = self.contents.applications.iter();
        applications.filter(|one| one.managed || !managed_only).filter(chosen).collect()
    }

    fn remove_application(&mut self) -> Answer {
        let identifier = self.text("Identifier").unwrap_or_default().to_owned();
        if !self.is_managed(Some(&identifier)) {
            return not_managed();
        }
        self.contents.applications.retain(|application| application.identifier != identifier);
        Answer::acknowledged()
    }

    fn is_managed(&self, identifier: Option<&str>) -> bool {
        let applications = &self.contents.applications;
        applications.iter().any(|one| one.managed && Some(one.identifier.as_str()) == identifier)
    }

    /// One entry for each application that is asked for and managed.
    fn of_applications(&self, list: &str, key: &str) -> Answer {
        let of = |one: &Application| {
            let nothing = Value::Dictionary(entries([]));
            Value::Dictionary(entries([("Identifier", one.identifier.as_str().into()), (key, nothing)]))
        };
        Answer::acknowledged().with(list, Value::Array(self.chosen_applications(true).into_iter().map(of).collect()))
    }
}

fn managed(_: &Application) -> Value {
    Value::Dictionary(entries([
        ("Status", "Managed".into()),
        ("ManagementFlags", 1.into()),
        ("UnusedRedemptionCode", "".into()),
        ("HasConfiguration", false.into()),
        ("HasFeedback", false.into()),
        ("IsValidated", true.into()),
        ("ExternalVersionIdentifier", 1.into()),
    ]))
}

fn not_managed() -> Answer {
    Answer::refused(12028, "The app is not managed.")
}
