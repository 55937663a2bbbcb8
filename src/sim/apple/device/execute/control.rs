//! What changes a device: power, locks, passwords, accounts, settings, updates.

use protocol::apple::plist::{Dictionary, Value};

use super::super::entries;
use super::{Answer, Doing};
use crate::sim::apple::contents::Power;

impl Doing<'_> {
    pub(super) fn control(&mut self) -> Option<Answer> {
        Some(match self.request_type {
            "EraseDevice" => self.power(Power::Erased),
            "RestartDevice" => self.power(Power::Restarting),
            "ShutDownDevice" => self.power(Power::Off),
            "DeviceConfigured" => {
                self.awaits_configuration = false;
                Answer::acknowledged()
            }
            "Settings" => self.settings(),
            "EnableRemoteDesktop" | "DisableRemoteDesktop" => {
                self.contents.remote_desktop = self.request_type == "EnableRemoteDesktop";
                Answer::acknowledged()
            }
            "RequestMirroring" => Answer::acknowledged().with("MirroringResult", "Prompting"),
            "DeleteUser" if self.is_true("DeleteAllUsers") => {
                self.contents.users.truncate(1);
                Answer::acknowledged()
            }
            "DeleteUser" => self.with_user("UserName", |doing, name| {
                doing.contents.users.retain(|user| user.short_name != name);
            }),
            "UnlockUserAccount" => self.with_user("UserName", |_, _| {}),
            _ => return None,
        })
    }

    pub(super) fn locks(&mut self) -> Option<Answer> {
        Some(match self.request_type {
            "DeviceLock" => self.lock(),
            "EnableLostMode" if self.text("Message").is_none() && self.text("PhoneNumber").is_none() => {
                Answer::malformed()
            }
            "EnableLostMode" | "DisableLostMode" => {
                self.contents.lost = self.request_type == "EnableLostMode";
                Answer::acknowledged()
            }
            "PlayLostModeSound" if !self.contents.lost => Answer::refused(12067, "The device is not in Lost Mode."),
            "ActivationLockBypassCode" => {
                Answer::acknowledged().with("ActivationLockBypassCode", self.contents.bypass_code())
            }
            "ClearPasscode" => {
                let token = self.arguments.data("UnlockToken").ok().flatten();
                if token.is_some() && token == self.contents.unlock_token() {
                    Answer::acknowledged()
                } else {
                    Answer::error(5013, "MCPasscodeErrorDomain", "The unlock token is not valid.")
                }
            }
            "RequestUnlockToken" => {
                let token = self.contents.unlock_token().unwrap_or_default().to_vec();
                Answer::acknowledged().with("UnlockToken", Value::Data(token))
            }
            "SetRecoveryLock" | "VerifyRecoveryLock" => self.recovery_lock(),
            "SetFirmwarePassword" | "VerifyFirmwarePassword" => self.firmware_password(),
            "RotateFileVaultKey" => {
                let key = Value::Data(self.chance.bytes::<300>().to_vec());
                let result = entries([("EncryptedNewRecoveryKey", key)]);
                Answer::acknowledged().with("RotateResult", Value::Dictionary(result))
            }
            _ => return None,
        })
    }

    pub(super) fn updates(&mut self) -> Option<Answer> {
        Some(match self.request_type {
            "ScheduleOSUpdateScan" => Answer::acknowledged().with("ScanInitiated", true),
            "ScheduleOSUpdate" => {
                let updates = self.arguments.array("Updates").ok().flatten().unwrap_or_default();
                let text = |update: &Dictionary, key: &str, default: &str| {
                    update.get(key).and_then(Value::as_string).unwrap_or(default).to_owned()
                };
                let results = updates.iter().filter_map(Value::as_dictionary).map(|update| {
                    Value::Dictionary(entries([
                        ("ProductKey", text(update, "ProductKey", "").into()),
                        ("InstallAction", text(update, "InstallAction", "Default").into()),
                        ("Status", "Downloading".into()),
                    ]))
                });
                Answer::acknowledged().with("UpdateResults", Value::Array(results.collect()))
            }
            _ => return None,
        })
    }

    fn lock(&mut self) -> Answer {
        let pin = self.text("PIN").unwrap_or_default().to_owned();
        if self.model.is_mac() && (pin.len() != 6 || !pin.bytes().all(|digit| digit.is_ascii_digit())) {
            return Answer::refused(12008, "A Mac is locked with a PIN of six digits.");
        }
        self.contents.screen_pin = Some(pin).filter(|_| self.model.is_mac());
        if self.text("Message").is_some() || self.text("PhoneNumber").is_some() {
            Answer::acknowledged().with("MessageResult", "Success")
        } else {
            Answer::acknowledged()
        }
    }

    fn settings(&mut self) -> Answer {
        let settings = self.arguments.array("Settings").ok().flatten().unwrap_or_default();
        let mut results = Vec::new();
        for setting in settings.iter().filter_map(Value::as_dictionary) {
            let Some(item) = setting.get("Item").and_then(Value::as_string) else { return Answer::malformed() };
            if let ("DeviceName", Some(name)) = (item, setting.get("DeviceName").and_then(Value::as_string)) {
                name.clone_into(&mut self.contents.device_name);
            }
            results.push(Value::Dictionary(entries([("Item", item.into()), ("Status", "Acknowledged".into())])));
        }
        Answer::acknowledged().with("Settings", Value::Array(results))
    }

    fn recovery_lock(&mut self) -> Answer {
        if self.request_type == "VerifyRecoveryLock" {
            let right = self.text("Password") == self.contents.recovery_lock.as_deref();
            return Answer::acknowledged().with("PasswordVerified", right);
        }
        if self.contents.recovery_lock.is_some()
            && self.text("CurrentPassword") != self.contents.recovery_lock.as_deref()
        {
            return Answer::error(2, "ROSLockoutServiceDaemonErrorDomain", "The current password is not right.");
        }
        self.contents.recovery_lock = self.text("NewPassword").map(str::to_owned);
        Answer::acknowledged()
    }

    fn firmware_password(&mut self) -> Answer {
        let present = self.contents.firmware_password.clone();
        if self.request_type == "VerifyFirmwarePassword" {
            let result = entries([("PasswordVerified", (self.text("Password") == present.as_deref()).into())]);
            return Answer::acknowledged().with("VerifyFirmwarePassword", Value::Dictionary(result));
        }
        let right = present.is_none() || self.text("CurrentPassword") == present.as_deref();
        if right {
            self.contents.firmware_password = self.text("NewPassword").map(str::to_owned);
        }
        let result = entries([("PasswordChanged", right.into())]);
        Answer::acknowledged().with("SetFirmwarePassword", Value::Dictionary(result))
    }

    /// Does something with the account that an argument names.
    fn with_user(&mut self, key: &'static str, change: impl FnOnce(&mut Self, &str)) -> Answer {
        let Some(name) = self.text(key).map(str::to_owned) else { return Answer::malformed() };
        if !self.contents.users.iter().any(|user| user.short_name == name) {
            return Answer::refused(12047, &format!("There is no user “{name}”."));
        }
        change(self, &name);
        Answer::acknowledged()
    }
}
