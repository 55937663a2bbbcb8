//! Sessions: the PC says who and how it is, proves it, does what it is told, and says what came of it, until the server has
//! nothing more to say.

use super::{Fate, Pc, PcError, Proof};
use crate::sim::log::Fault;
use crate::sim::windows::quirks::SessionIds;
use crate::sim::windows::syncml::answer::Answer;
use crate::sim::windows::syncml::{Message, Said};

/// A session under way.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) id: String,
    msg_id: u32,
    nonce: Option<Vec<u8>>,
    /// The message that is to be sent next, or again.
    outgoing: Vec<Said>,
    /// Pieces of large values that follow.
    pub(super) pieces: Vec<Said>,
    /// Whether the message was answered with a challenge already.
    challenged: bool,
    is_last: bool,
}

/// What follows from a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The session goes on.
    GoesOn,
    /// The session is over.
    Ends,
}

impl Pc {
    /// Begins a session; whatever was left of the one before is forgotten.
    ///
    /// # Errors
    /// There is no enrollment, or the PC has gone.
    pub fn begin(&mut self) -> Result<(), PcError> {
        if self.fate == Fate::Gone {
            return Err(PcError::Missing("anyone who could speak: it left"));
        }
        let outgoing = self.greeting()?;
        let id = match self.options.quirks.session_ids {
            SessionIds::Growing => format!("{:X}", self.sessions + 1),
            SessionIds::Repeated => format!("{:X}", self.sessions / 2 + 1),
            SessionIds::Zero => "0".to_owned(),
        };
        self.sessions += 1;
        let (pieces, nonce) = (Vec::new(), None);
        let is_last = self.fate == Fate::Leaves;
        self.session = Some(Session { id, msg_id: 1, nonce, outgoing, pieces, challenged: false, is_last });
        Ok(())
    }

    /// What it says first: why it comes, who is logged on, what it is, and its news.
    fn greeting(&mut self) -> Result<Vec<Said>, PcError> {
        self.enrollment.as_ref().ok_or(PcError::Missing("enrollment"))?;
        let user = if self.tree.user_is_there { "user" } else { "none" };
        let mut said = vec![Said::alert(1201), Said::event(1224, "com.microsoft/MDM/LoginStatus", "chr", user)];
        let facts = ["DevId", "Man", "Mod", "DmV", "Lang"].map(|name| format!("./DevInfo/{name}"));
        let value = |path: &String| self.tree.get(path).map(|node| (path.clone(), node.data.clone()));
        said.push(Said::Replace(facts.iter().filter_map(value).collect()));
        said.extend(self.news.iter().cloned());
        Ok(said)
    }

    /// Says something in its next session, after who it is.
    pub fn has_news(&mut self, news: Said) {
        self.news.push(news);
    }

    /// Forgets what it had to tell.
    pub fn forgets_its_news(&mut self) {
        self.news.clear();
    }

    /// Its user removes the management: it says so in one last session.
    pub fn user_leaves(&mut self) {
        self.has_news(Said::event(1226, "com.microsoft:mdm.unenrollment.userrequest", "int", "1"));
        self.fate = Fate::Leaves;
    }

    /// Sends its next message, proves who it is if it is asked to, and does what the answer says.
    ///
    /// # Errors
    /// See [`PcError`]. The message stays, to be sent again by another turn.
    pub async fn turn(&mut self) -> Result<Turn, PcError> {
        let (message, answer) = self.heard().await?;
        self.conclude_message(&message, true);
        self.after(&message, answer)
    }

    /// Sends its next message, and loses the answer with the connection: the session is over. Its statuses arrived.
    ///
    /// # Errors
    /// See [`PcError`].
    pub async fn turn_and_lose(&mut self) -> Result<(), PcError> {
        let (message, _) = self.heard().await?;
        self.conclude_message(&message, true);
        self.wire.disconnect();
        self.session = None;
        Ok(())
    }

    /// Sends its next message, and loses the answer; the message stays, to be sent once more.
    ///
    /// # Errors
    /// See [`PcError`].
    pub async fn hear_and_forget(&mut self) -> Result<(), PcError> {
        let (message, _) = self.heard().await?;
        self.conclude_message(&message, true);
        self.may_be_challenged();
        self.wire.disconnect();
        Ok(())
    }

    /// Whoever sends a message again may be asked for another proof: the nonce may have been used up by the first time.
    fn may_be_challenged(&mut self) {
        if let Some(session) = &mut self.session {
            session.challenged = false;
        }
    }

    /// How many commands its next message says a success of, and how many a failure.
    pub fn about_to_say(&self) -> (u64, u64) {
        let said = self.session.iter().flat_map(|session| &session.outgoing);
        let codes = said.filter_map(|said| match said {
            Said::Status(status) if status.cmd_ref != "0" && status.cmd != "Alert" => Some(status.code),
            _ => None,
        });
        codes.fold((0, 0), |(good, bad), code| if code < 300 { (good + 1, bad) } else { (good, bad + 1) })
    }

    /// Works a whole session off.
    ///
    /// # Errors
    /// The first message that failed.
    pub async fn work(&mut self) -> Result<(), PcError> {
        self.begin()?;
        while self.turn().await? == Turn::GoesOn {}
        Ok(())
    }

    /// Sends the message until the server knows who sent it.
    async fn heard(&mut self) -> Result<(Message, Answer), PcError> {
        loop {
            let message = self.next_message()?;
            let answer = match self.tell(&message).await {
                Ok(answer) => answer,
                Err(error) => {
                    self.conclude_message(&message, false);
                    self.may_be_challenged();
                    return Err(error);
                }
            };
            match answer.header {
                200 => return Ok((message, answer)),
                401 | 407 => self.challenged(answer)?,
                status => return Err(PcError::Refused { status }),
            }
        }
    }

    fn next_message(&self) -> Result<Message, PcError> {
        let session = self.session.as_ref().ok_or(PcError::Missing("session"))?;
        let mut message = self.message(&session.id, session.msg_id, session.outgoing.clone())?;
        message.is_final = session.pieces.is_empty();
        if self.options.proof == Proof::Digest {
            message.credentials = session.nonce.as_deref().map(|nonce| self.credentials(nonce)).transpose()?;
        }
        Ok(message)
    }

    /// Takes a challenge; a second one for the same message is a refusal.
    fn challenged(&mut self, answer: Answer) -> Result<(), PcError> {
        let (proof, raises) = (self.options.proof, self.options.quirks.raises_msg_id);
        let session = self.session.as_mut().ok_or(PcError::Missing("session"))?;
        let refused = session.challenged || proof != Proof::Digest;
        if matches!(proof, Proof::Certificate | Proof::Signature) {
            self.log.find(Fault::Authentication, format!("{proof:?} was answered with {}", answer.header));
        } else if session.challenged && proof == Proof::Digest {
            self.log.find(Fault::Authentication, format!("a digest was answered with {}", answer.header));
        }
        if refused {
            return Err(PcError::Refused { status: answer.header });
        }
        session.nonce = answer.nonce;
        session.challenged = true;
        session.msg_id += u32::from(raises);
        Ok(())
    }

    /// What the server has been told, whether it said so or not.
    fn conclude_message(&self, message: &Message, confirmed: bool) {
        let Ok(channel) = self.channel() else { return };
        for said in &message.said {
            if let Said::Status(status) = said
                && status.cmd_ref != "0"
                && status.cmd != "Alert"
            {
                self.log.reported(&channel, &status.cmd_ref, &status.code.to_string(), confirmed);
            }
        }
    }

    fn after(&mut self, message: &Message, answer: Answer) -> Result<Turn, PcError> {
        // What was news is known now.
        self.news.retain(|news| !message.said.contains(news));
        let more = self.next_piece(&answer);
        let mut said = self.obey(&message.msg_id, &answer.orders)?;
        let (asked, ordered) = (more.is_some(), !answer.orders.is_empty());
        said.extend(more.into_iter().flatten());
        let session = self.session.as_mut().ok_or(PcError::Missing("session"))?;
        let goes_on = (ordered || asked) && !said.is_empty();
        if goes_on {
            said.insert(0, Said::status(&message.msg_id, "0", "SyncHdr", 200));
            session.msg_id += 1;
            session.challenged = false;
            session.outgoing = said;
            return Ok(Turn::GoesOn);
        }
        let was_last = session.is_last;
        self.session = None;
        match self.fate {
            Fate::Leaves if was_last => self.leave(),
            Fate::Wiped => self.leave(),
            _ => {}
        }
        Ok(Turn::Ends)
    }

    /// The next piece of a large value, when the server asks for it.
    fn next_piece(&mut self, answer: &Answer) -> Option<Vec<Said>> {
        let session = self.session.as_mut()?;
        let accepted = answer.results.iter().any(|(_, code)| *code == 213);
        let Some(alert) = &answer.wants_more else {
            if !session.pieces.is_empty() {
                self.log.find(Fault::SyncMl, "nobody asks for the rest of a large value");
                session.pieces.clear();
            }
            return None;
        };
        if session.pieces.is_empty() || !accepted {
            self.log.find(Fault::SyncMl, "an alert 1222 without a piece that was accepted");
            session.pieces.clear();
            return None;
        }
        let piece = session.pieces.remove(0);
        let msg_ref = session.msg_id.to_string();
        Some(vec![Said::status(&msg_ref, alert, "Alert", 200), piece])
    }

    /// Nobody is there any more.
    fn leave(&mut self) {
        self.wire.disconnect();
        self.fate = Fate::Gone;
    }

    /// What its commands are filed under: the server's name of the enrollment.
    pub(super) fn channel(&self) -> Result<String, PcError> {
        let enrollment = self.enrollment.as_ref().ok_or(PcError::Missing("enrollment"))?;
        Ok(enrollment.provisioned.enrollment_id.clone())
    }
}
