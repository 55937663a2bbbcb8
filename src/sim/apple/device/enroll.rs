//! Enrolling: identity, `Authenticate`, `TokenUpdate`, the channels of users, and the good-bye.

use protocol::apple::enrollment_profile::EnrollmentProfile;
use protocol::apple::plist::{Dictionary, Value};

use super::{ChannelNo, ChannelState, Destination, Device, DeviceError, User, UserKind, entries};
use crate::sim::apple::scep::{self, ScepError, Wanted};
use crate::sim::log::Fault;

impl Device {
    /// Enrolls: profile, identity, `Authenticate`, `TokenUpdate`.
    ///
    /// # Errors
    /// The step that failed; the steps before it are done.
    pub async fn enroll(&mut self, url: &str) -> Result<(), DeviceError> {
        self.fetch_profile(url).await?;
        self.obtain_identity().await?;
        self.authenticate().await?;
        self.update_token(ChannelNo::DEVICE).await
    }

    /// Begins a new enrollment: gets an identity with the challenge of the profile, and forgets the enrollment before,
    /// with the channels of its users, their tokens and what the server had installed.
    ///
    /// # Errors
    /// There is no profile, no key, or no certificate that a device takes (a finding).
    pub async fn obtain_identity(&mut self) -> Result<(), DeviceError> {
        let profile = self.enrollment.profile.clone().ok_or(DeviceError::Missing("profile"))?;
        self.set_identity(None);
        self.request_identity(&profile, false).await?;
        for channel in self.channels() {
            self.drop_token(channel)?;
        }
        self.channels = vec![ChannelState::of_device(&self.model, self.options.personal)];
        self.contents.enrolled(&profile);
        Ok(())
    }

    /// Gets another identity for a new key, in the name of the present one (SCEP RenewalReq), and uses it from now on.
    ///
    /// # Errors
    /// See [`obtain_identity`](Self::obtain_identity).
    pub async fn renew_identity(&mut self) -> Result<(), DeviceError> {
        let profile = self.enrollment.profile.clone().ok_or(DeviceError::Missing("profile"))?;
        self.request_identity(&profile, true).await
    }

    /// Gets an identity as the SCEP payload of `profile` says, and uses it from now on.
    pub(super) async fn request_identity(
        &mut self,
        profile: &EnrollmentProfile,
        renewal: bool,
    ) -> Result<(), DeviceError> {
        let key = self.options.keys.take().await?;
        let common_name = self.common_name(profile);
        let present = self.enrollment.identity.clone();
        let renews = if renewal { Some(present.as_ref().ok_or(DeviceError::Missing("identity"))?) } else { None };
        let now = self.options.clock.now();
        let wanted = Wanted { payload: &profile.scep, key, common_name: &common_name, renews, now };
        match scep::obtain(&mut self.wire, &wanted).await {
            Ok(obtained) => {
                self.enrollment.authorities = obtained.authorities;
                self.set_identity(Some(obtained.identity));
                Ok(())
            }
            Err(error) => {
                if let ScepError::Reply(_) | ScepError::Rule(_) = &error {
                    self.log.find(Fault::Scep, error.to_string());
                }
                Err(error.into())
            }
        }
    }

    /// Says that it begins to enroll, or that its identity was renewed.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn authenticate(&mut self) -> Result<(), DeviceError> {
        let model = &self.model;
        let mut message = self.message("Authenticate", ChannelNo::DEVICE)?;
        let mut insert = |key: &str, value: &str| message.insert(key.to_owned(), value.into());
        insert("OSVersion", model.os_version);
        insert("BuildVersion", model.build_version);
        insert("ProductName", model.product_name);
        if !self.options.personal {
            insert("DeviceName", &model.device_name);
            insert("SerialNumber", &model.serial_number);
            if let Some(imei) = &model.imei {
                insert("IMEI", imei);
            }
        }
        if model.is_mac() {
            insert("Model", model.product_name);
            insert("ModelName", model.model_name);
        }
        self.say(message).await
    }

    /// Tells where a channel is pushed to. The first one completes its enrollment and makes the token.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn update_token(&mut self, channel: ChannelNo) -> Result<(), DeviceError> {
        if self.channel(channel)?.token.is_none() {
            self.new_token(channel)?;
        }
        let mut message = self.message("TokenUpdate", channel)?;
        let state = self.channel(channel)?;
        let (token, magic) = (state.token.clone().unwrap_or_default(), state.magic.clone().unwrap_or_default());
        message.insert("Token".to_owned(), Value::Data(token));
        message.insert("PushMagic".to_owned(), magic.into());
        if channel == ChannelNo::DEVICE {
            if let Some(unlock_token) = self.contents.unlock_token() {
                message.insert("UnlockToken".to_owned(), Value::Data(unlock_token.to_vec()));
            }
            message.insert("AwaitingConfiguration".to_owned(), self.options.awaits_configuration.into());
        } else if self.model.is_mac() {
            message.insert("NotOnConsole".to_owned(), false.into());
        }
        self.say(message).await
    }

    /// Gets a new token and tells it.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn renew_token(&mut self, channel: ChannelNo) -> Result<(), DeviceError> {
        self.new_token(channel)?;
        self.update_token(channel).await
    }

    /// Adds the channel of a user, which does not exist for the server before its [`update_token`](Self::update_token).
    ///
    /// # Errors
    /// There is no device channel.
    pub fn add_user(&mut self, kind: UserKind, user: &User) -> Result<ChannelNo, DeviceError> {
        let state = self.channel(ChannelNo::DEVICE)?.of_user(kind, user);
        self.contents.logged_in(user);
        self.channels.push(state);
        Ok(ChannelNo(self.channels.len() - 1))
    }

    /// Adds the channel of a user and enrolls it.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn enroll_user(&mut self, kind: UserKind, user: &User) -> Result<ChannelNo, DeviceError> {
        let channel = self.add_user(kind, user)?;
        self.update_token(channel).await?;
        Ok(channel)
    }

    /// Says good-bye, once, and removes everything that the server had installed on the channel. The identity stays, so
    /// that tests can go on speaking.
    ///
    /// # Errors
    /// See [`DeviceError`]; the management is removed all the same.
    pub async fn check_out(&mut self, channel: ChannelNo) -> Result<(), DeviceError> {
        let message = self.message("CheckOut", channel)?;
        self.drop_token(channel)?;
        self.contents.removed_management(channel);
        self.say(message).await
    }

    /// A check-in message of a channel with its type, its topic and who sends it.
    pub(super) fn message(&self, message_type: &str, channel: ChannelNo) -> Result<Dictionary, DeviceError> {
        let topic = &self.enrollment.profile.as_ref().ok_or(DeviceError::Missing("profile"))?.mdm.topic;
        let mut message = entries([("MessageType", message_type.into()), ("Topic", topic.as_str().into())]);
        self.channel(channel)?.identify(&mut message);
        Ok(message)
    }

    /// Sends a check-in message that is answered with nothing.
    pub(super) async fn say(&mut self, message: Dictionary) -> Result<(), DeviceError> {
        let what = message.get("MessageType").and_then(Value::as_string).unwrap_or_default().to_owned();
        let reply = self.tell(Destination::CheckIn, message, &[]).await?;
        if !reply.body.is_empty() {
            self.log.find(Fault::Reply, format!("the reply to {what} is not empty"));
        }
        Ok(())
    }

    /// The common name that the profile asks for, with its variables replaced.
    fn common_name(&self, profile: &EnrollmentProfile) -> String {
        let subject = profile.scep.subject.iter().rev();
        let asked = subject.filter(|(name, _)| matches!(name.as_str(), "CN" | "2.5.4.3")).map(|(_, text)| text).next();
        let name = asked.map_or("%HardwareUUID%", String::as_str);
        let name = if self.options.personal {
            name.replace("%HardwareUUID%", &self.model.enrollment_id).replace("%SerialNumber%", "")
        } else {
            name.replace("%HardwareUUID%", &self.model.udid).replace("%SerialNumber%", &self.model.serial_number)
        };
        // A common name holds 1 to 64 characters.
        let name: String = name.replace("%ComputerName%", &self.model.device_name).chars().take(64).collect();
        if name.is_empty() { "device".to_owned() } else { name }
    }
}
