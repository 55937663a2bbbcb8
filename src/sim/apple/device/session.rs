//! Sessions: the device asks for a command, does it, reports, gets the next, until there is none.

use protocol::apple::command::Command;
use protocol::apple::fields::Fields;
use protocol::apple::plist::{Dictionary, Value};
use protocol::apple::report::{ErrorLink, Status};
use protocol::apple::request_types;
use protocol::ids::CommandUuid;

use super::{Answer, ChannelNo, Destination, Device, DeviceError, Errand, entries};
use crate::sim::apple::contents::Power;
use crate::sim::log::Fault;
use crate::sim::wire::Reply;

/// The largest command that is read, in bytes.
const MAX_COMMAND_BYTES: usize = 32 << 20;

/// The name of a command without `CommandUUID`, which is not one.
const NAMELESS: &str = "(no CommandUUID)";

impl Device {
    /// Asks for a command (`Idle`); a new session begins.
    ///
    /// # Errors
    /// See [`DeviceError`]. A reply that is no command is a finding.
    pub async fn poll(&mut self, channel: ChannelNo) -> Result<Option<Command>, DeviceError> {
        if !self.can_speak() {
            return Err(DeviceError::Missing("anyone to ask: it was erased, or is locked with a PIN"));
        }
        let state = self.channel_mut(channel)?;
        state.session.clear();
        state.last_status = Some(Status::Idle);
        let message = self.report_of(channel, &Status::Idle)?;
        let reply = self.tell(Destination::Command, message, &[]).await?;
        self.receive(channel, &reply)
    }

    /// Reports what became of a command; the reply may be the next one.
    ///
    /// # Errors
    /// See [`DeviceError`]. A reply that is no command is a finding.
    pub async fn report(
        &mut self,
        channel: ChannelNo,
        uuid: &CommandUuid,
        answer: &Answer,
    ) -> Result<Option<Command>, DeviceError> {
        let mut message = self.report_of(channel, &answer.status)?;
        message.insert("CommandUUID".to_owned(), uuid.as_str().into());
        if !answer.errors.is_empty() {
            let chain = answer.errors.iter().map(error_link).collect();
            message.insert("ErrorChain".to_owned(), Value::Array(chain));
        }
        for (key, value) in &answer.results {
            message.insert(key.clone(), value.clone());
        }
        self.channel_mut(channel)?.last_status = Some(answer.status.clone());
        let told = self.tell(Destination::Command, message, &[]).await;
        let id = &self.channel(channel)?.id;
        self.log.reported(id, uuid.as_str(), answer.status.as_str(), told.is_ok());
        self.receive(channel, &told?)
    }

    /// Works a whole session off: does and reports every command, and runs the errands that follow from them.
    ///
    /// Returns how many commands were done.
    ///
    /// # Errors
    /// The first message that failed.
    pub async fn work(&mut self, channel: ChannelNo) -> Result<usize, DeviceError> {
        let mut done = 0;
        let mut next = self.poll(channel).await?;
        while let Some(command) = next {
            let answer = self.execute(channel, &command).await?;
            while let Some(errand) = self.errand_before_report() {
                self.run(errand).await?;
            }
            let Some(answer) = answer else { return Ok(done) };
            next = self.report(channel, command.uuid(), &answer).await?;
            done += 1;
            if self.contents.power == Power::Erased {
                self.leave();
            }
            if !self.can_speak() {
                return Ok(done);
            }
        }
        while let Some(errand) = self.errand() {
            self.run(errand).await?;
        }
        Ok(done)
    }

    /// Runs an errand and strikes it off.
    ///
    /// # Errors
    /// See [`DeviceError`]; the errand then stays.
    pub async fn run(&mut self, errand: Errand) -> Result<(), DeviceError> {
        match errand {
            Errand::Authenticate => self.authenticate().await?,
            Errand::UpdateToken(channel) => self.update_token(channel).await?,
            Errand::Synchronize(channel) => self.synchronize(channel).await?,
            Errand::CheckOut(channel) => self.check_out(channel).await?,
        }
        self.strike_off(errand);
        Ok(())
    }

    fn report_of(&self, channel: ChannelNo, status: &Status) -> Result<Dictionary, DeviceError> {
        let mut message = entries([("Status", status.as_str().into())]);
        let state = self.channel(channel)?;
        state.identify(&mut message);
        if channel != ChannelNo::DEVICE && self.model.is_mac() {
            message.insert("NotOnConsole".to_owned(), false.into());
        }
        Ok(message)
    }

    fn receive(&mut self, channel: ChannelNo, reply: &Reply) -> Result<Option<Command>, DeviceError> {
        if reply.body.is_empty() {
            return Ok(None);
        }
        let nameless = CommandUuid::parse(NAMELESS).expect("it is short and printable");
        let command = match Command::parse(&reply.body, MAX_COMMAND_BYTES, nameless.clone()) {
            Ok(command) if *command.uuid() != nameless => command,
            Ok(_) => return Err(self.no_command("the command has no CommandUUID")),
            Err(error) => return Err(self.no_command(&error.to_string())),
        };
        let (uuid, request_type) = (command.uuid(), command.request_type());
        let state = self.channel_mut(channel)?;
        let (id, kind, fresh) = (state.id.clone(), state.kind, state.session.insert(uuid.as_str().to_owned()));
        if !fresh {
            self.log.find(Fault::HandedOutTwice, format!("{request_type} {uuid} twice in one session of {id}"));
        }
        if !request_types::facts(request_type).allows(kind) {
            let kind = kind.as_str();
            self.log.find(Fault::Channel, format!("{request_type} {uuid} on the channel {id} ({kind})"));
        }
        self.log.handed_out(&id, uuid.as_str(), request_type);
        Ok(Some(command))
    }

    fn no_command(&self, why: &str) -> DeviceError {
        self.log.find(Fault::Command, why);
        DeviceError::Unacceptable(why.to_owned())
    }
}

fn error_link(link: &ErrorLink) -> Value {
    let mut dictionary = entries([
        ("ErrorCode", link.code.into()),
        ("ErrorDomain", link.domain.as_str().into()),
        ("LocalizedDescription", link.localized_description.as_str().into()),
    ]);
    if let Some(english) = &link.us_english_description {
        dictionary.insert("USEnglishDescription".to_owned(), english.as_str().into());
    }
    Value::Dictionary(dictionary)
}

/// The arguments of a command.
pub(super) fn arguments(command: &Command) -> Fields<'_> {
    Fields::new(command.entries())
}
