//! The check-in messages beside enrolling: bootstrap tokens, service tokens, users who log in, return to service.

use protocol::apple::plist::{Dictionary, Value, parse};

use super::{ChannelNo, Destination, Device, DeviceError};
use crate::sim::log::Fault;
use crate::sim::wire::Reply;

/// The largest reply to a check-in message that is read, in bytes.
const MAX_REPLY_BYTES: usize = 1 << 20;

impl Device {
    /// Escrows a bootstrap token, or, with `None`, removes it.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn set_bootstrap_token(&mut self, token: Option<&[u8]>) -> Result<(), DeviceError> {
        let mut message = self.message("SetBootstrapToken", ChannelNo::DEVICE)?;
        if let Some(token) = token {
            message.insert("BootstrapToken".to_owned(), Value::Data(token.to_vec()));
        }
        self.say(message).await
    }

    /// Asks for the escrowed bootstrap token.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn bootstrap_token(&mut self) -> Result<Option<Vec<u8>>, DeviceError> {
        let mut message = self.message("GetBootstrapToken", ChannelNo::DEVICE)?;
        message.insert("AwaitingConfiguration".to_owned(), self.options.awaits_configuration.into());
        let reply = self.tell(Destination::CheckIn, message, &[]).await?;
        if reply.body.is_empty() {
            return Ok(None);
        }
        let token = self.reply_entries(&reply)?.remove("BootstrapToken").and_then(Value::into_data);
        Ok(token.filter(|token| !token.is_empty()))
    }

    /// Asks for a token of a service, for example `com.apple.maid`; `None` when the server does not know it (400).
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn service_token(&mut self, service: &str) -> Result<Option<Vec<u8>>, DeviceError> {
        let mut message = self.message("GetToken", ChannelNo::DEVICE)?;
        message.insert("TokenServiceType".to_owned(), service.into());
        let reply = self.tell(Destination::CheckIn, message, &[400]).await?;
        if reply.status == 400 {
            return Ok(None);
        }
        match self.reply_entries(&reply)?.remove("TokenData") {
            Some(Value::Data(token)) => Ok(Some(token)),
            _ => Err(self.wrong_reply("the reply to GetToken has no TokenData")),
        }
    }

    /// Tells that a user of a Mac logs in, with the answer to the challenge if there was one. The reply is the digest
    /// challenge (empty when no credentials are needed); `None` when the user is not to be managed (410).
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn user_authenticate(
        &mut self,
        channel: ChannelNo,
        digest_response: Option<&str>,
    ) -> Result<Option<String>, DeviceError> {
        let mut message = self.message("UserAuthenticate", channel)?;
        message.remove("Topic");
        if let Some(response) = digest_response {
            message.insert("DigestResponse".to_owned(), response.into());
        }
        let reply = self.tell(Destination::CheckIn, message, &[410]).await?;
        if reply.status == 410 {
            return Ok(None);
        }
        // Only the first message is answered with a challenge.
        if digest_response.is_some() && reply.body.is_empty() {
            return Ok(Some(String::new()));
        }
        match self.reply_entries(&reply)?.remove("DigestChallenge") {
            Some(Value::String(challenge)) => Ok(Some(challenge)),
            _ if digest_response.is_some() => Ok(Some(String::new())),
            _ => Err(self.wrong_reply("the reply to UserAuthenticate has no DigestChallenge")),
        }
    }

    /// Asks how to return to service; the settings of the reply.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn return_to_service(&mut self) -> Result<Dictionary, DeviceError> {
        let message = self.message("ReturnToService", ChannelNo::DEVICE)?;
        let reply = self.tell(Destination::CheckIn, message, &[]).await?;
        match self.reply_entries(&reply)?.remove("ReturnToService") {
            Some(Value::Dictionary(settings)) if settings.get("Enabled").and_then(Value::as_boolean).is_some() => {
                Ok(settings)
            }
            _ => Err(self.wrong_reply("the reply to ReturnToService does not say whether it is enabled")),
        }
    }

    /// The entries of a reply that is a dictionary.
    fn reply_entries(&self, reply: &Reply) -> Result<Dictionary, DeviceError> {
        match parse(&reply.body, MAX_REPLY_BYTES) {
            Ok(Value::Dictionary(entries)) => Ok(entries),
            Ok(_) => Err(self.wrong_reply("the reply is not a dictionary")),
            Err(error) => Err(self.wrong_reply(&format!("the reply: {error}"))),
        }
    }

    fn wrong_reply(&self, why: &str) -> DeviceError {
        self.log.find(Fault::Reply, why);
        DeviceError::Unacceptable(why.to_owned())
    }
}
