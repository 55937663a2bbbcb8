//! What is on a device: profiles, applications, certificates, users, locks.
//!
//! It changes only by commands and by enrolling. Never here: messages. Start with [`Contents`].

use protocol::apple::enrollment_profile::EnrollmentProfile;
use protocol::apple::profile::Profile;

use super::device::{ChannelNo, User};
use super::model::Model;
use crate::sim::random::Chance;

/// What is on a device.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The configuration profiles, the enrollment profile first.
    pub profiles: Vec<InstalledProfile>,
    /// The provisioning profiles, by their UUID.
    pub provisioning_profiles: Vec<String>,
    /// The applications.
    pub applications: Vec<Application>,
    /// The books that the server installed, by store number or address.
    pub books: Vec<String>,
    /// The accounts.
    pub users: Vec<User>,
    /// Whether it is on.
    pub power: Power,
    /// The PIN of a locked Mac: nothing runs on it until somebody enters it.
    pub screen_pin: Option<String>,
    /// Whether it is in Lost Mode.
    pub lost: bool,
    /// Whether Remote Desktop is on.
    pub remote_desktop: bool,
    /// The name that people see.
    pub device_name: String,
    /// What a Mac asks for in recovery.
    pub recovery_lock: Option<String>,
    /// What a Mac with an Intel processor asks for before it starts from another disk.
    pub firmware_password: Option<String>,
    unlock_token: Option<Vec<u8>>,
    bypass_code: String,
    available_bytes: u64,
}

/// A configuration profile on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct InstalledProfile {
    /// The channel that it came through.
    pub channel: ChannelNo,
    /// The profile.
    pub profile: Profile,
    /// The certificate that signed it (DER).
    pub signer: Option<Vec<u8>>,
}

/// An application on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// The bundle identifier.
    pub identifier: String,
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether the server installed it.
    pub managed: bool,
}

/// Whether a device is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// On.
    On,
    /// On again after a moment.
    Restarting,
    /// Off.
    Off,
    /// Erased, and with it its management.
    Erased,
}

/// Applications that come with a device, or that people install.
const USUAL_APPLICATIONS: &[(&str, &str)] = &[
    ("com.apple.Keynote", "Keynote"),
    ("com.apple.Numbers", "Numbers"),
    ("com.apple.Pages", "Pages"),
    ("com.apple.iMovie", "iMovie"),
    ("com.microsoft.Outlook", "Outlook"),
    ("com.microsoft.Word", "Word"),
    ("com.tinyspeck.slackmacgap", "Slack"),
    ("org.mozilla.firefox", "Firefox"),
    ("com.google.Chrome", "Chrome"),
    ("us.zoom.xos", "zoom.us"),
    ("com.1password.1password", "1Password"),
    ("org.videolan.vlc", "VLC"),
];

/// The characters of activation lock bypass codes.
const BYPASS_ALPHABET: &str = "0123456789ACDEFGHJKLMNPQRTUVWXYZ";

impl Contents {
    /// What is on a new device.
    pub(super) fn of(model: &Model, chance: &mut Chance) -> Self {
        let mut applications = Vec::new();
        for (identifier, name) in USUAL_APPLICATIONS {
            if chance.happens(0.7) {
                let version = format!("{}.{}.{}", 1 + chance.below(20), chance.below(10), chance.below(10));
                applications
                    .push(Application { bytes: chance.below(2 << 30), ..Application::new(identifier, name, &version) });
            }
        }
        let capacity = u64::from(model.capacity_gigabytes) * 1_000_000_000;
        let bypass = (0..6).map(|_| chance.text(BYPASS_ALPHABET, 5)).collect::<Vec<_>>().join("-");
        Self {
            profiles: Vec::new(),
            provisioning_profiles: Vec::new(),
            applications,
            books: Vec::new(),
            users: vec![User::new(&chance.uuid(), &model.owner.to_lowercase(), model.owner)],
            power: Power::On,
            screen_pin: None,
            lost: false,
            remote_desktop: false,
            device_name: model.device_name.clone(),
            recovery_lock: None,
            firmware_password: None,
            unlock_token: (!model.is_mac()).then(|| chance.bytes::<1200>().to_vec()),
            bypass_code: bypass,
            available_bytes: capacity / 10 + chance.below(capacity / 2),
        }
    }

    /// What clears the passcode of an iPhone or iPad.
    pub fn unlock_token(&self) -> Option<&[u8]> {
        self.unlock_token.as_deref()
    }

    /// What takes the activation lock off.
    pub fn bypass_code(&self) -> &str {
        &self.bypass_code
    }

    /// The free space on its disk.
    pub const fn available_bytes(&self) -> u64 {
        self.available_bytes
    }

    /// The profile with this identifier that came through the channel.
    pub fn profile(&self, channel: ChannelNo, identifier: &str) -> Option<&InstalledProfile> {
        self.profiles.iter().find(|one| one.channel == channel && one.profile.identifier == identifier)
    }

    /// Installs a profile, or replaces the one with its identifier.
    pub(super) fn install(&mut self, installed: InstalledProfile) {
        let same = |one: &&mut InstalledProfile| {
            one.channel == installed.channel && one.profile.identifier == installed.profile.identifier
        };
        match self.profiles.iter_mut().find(same) {
            Some(old) => *old = installed,
            None => self.profiles.push(installed),
        }
    }

    /// Takes the enrollment profile, and forgets what an enrollment before had brought.
    pub(super) fn enrolled(&mut self, profile: &EnrollmentProfile) {
        self.removed_management(ChannelNo::DEVICE);
        self.power = Power::On;
        self.screen_pin = None;
        let document = profile.to_xml().ok().and_then(|xml| Profile::parse(&xml, usize::MAX).ok());
        let installed = document.map(|profile| InstalledProfile { channel: ChannelNo::DEVICE, profile, signer: None });
        self.profiles.extend(installed);
    }

    /// A user logged in.
    pub(super) fn logged_in(&mut self, user: &User) {
        if !self.users.iter().any(|known| known.short_name == user.short_name) {
            self.users.push(user.clone());
        }
    }

    /// The management ended, of one user or of the device and all its users.
    pub(super) fn removed_management(&mut self, channel: ChannelNo) {
        let ends = |of: ChannelNo| channel == ChannelNo::DEVICE || of == channel;
        self.profiles.retain(|installed| !ends(installed.channel));
        if channel == ChannelNo::DEVICE {
            self.provisioning_profiles.clear();
            self.applications.retain(|application| !application.managed);
            self.books.clear();
            self.lost = false;
        }
    }
}

impl Application {
    /// An application that was not installed by the server.
    pub(super) fn new(identifier: &str, name: &str, version: &str) -> Self {
        let (identifier, name, version) = (identifier.to_owned(), name.to_owned(), version.to_owned());
        Self { identifier, name, version, bytes: 50 << 20, managed: false }
    }
}
