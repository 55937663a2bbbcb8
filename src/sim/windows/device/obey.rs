//! Does what the server says, and says what came of it.

use super::{Fate, Pc, PcError};
use crate::sim::log::{CommandTruth, Fault};
use crate::sim::windows::syncml::answer::{Item, Order};
use crate::sim::windows::syncml::{AlertItem, Results, Said, Status};
use crate::sim::windows::tree::{Done, Effect, Node};

/// What became of an `Add` whose node was there already.
const EXISTS: &str = "418";

impl Pc {
    /// Does every order of a message, in its order.
    pub(super) fn obey(&mut self, msg_ref: &str, orders: &[Order]) -> Result<Vec<Said>, PcError> {
        let channel = self.channel()?;
        let mut said = Vec::new();
        for order in orders {
            if order.verb == "Get" && uuid::Uuid::parse_str(&order.id).is_err() {
                // What the server itself wants to know has no name of its own, and may be asked again.
                self.carry_out(msg_ref, order, &mut said, &mut Vec::new());
                continue;
            }
            let known = self.log.command(&channel, &order.id);
            let was_done = known.as_ref().is_some_and(|known| known.executed > 0);
            // What was there already was not added: nothing is done yet, and the order may come again.
            let ended = known.as_ref().and_then(CommandTruth::final_status).filter(|code| *code != EXISTS);
            if ended.is_some() {
                let text = format!("{} {} again, which the server knows the end of", order.verb, order.id);
                self.log.find(Fault::HandedOutTwice, text);
            }
            self.log.handed_out(&channel, &order.id, &order.verb);
            let known_code = known.as_ref().and_then(|known| known.reports.last()?.status.parse::<u16>().ok());
            if let (true, true, Some(code)) = (was_done, self.options.dedup, known_code) {
                said.push(Said::status(msg_ref, &order.id, &order.verb, code));
                continue;
            }
            if self.do_order(msg_ref, order, &mut said) != 418 {
                self.log.executed(&channel, &order.id);
            }
        }
        Ok(said)
    }

    /// Does one order, unless it fails by chance; how it went.
    fn do_order(&mut self, msg_ref: &str, order: &Order, said: &mut Vec<Said>) -> u16 {
        if !matches!(order.verb.as_str(), "Exec" | "Atomic") && self.chance.happens(self.options.errs) {
            let (msg_ref, cmd_ref, cmd) = (msg_ref.to_owned(), order.id.clone(), order.verb.clone());
            let original_error = Some("0x80004005".to_owned());
            said.push(Said::Status(Status { msg_ref, cmd_ref, cmd, target: None, code: 500, original_error }));
            return 500;
        }
        if order.verb == "Atomic" {
            return self.at_once(msg_ref, order, said);
        }
        let mut effects = Vec::new();
        let code = self.carry_out(msg_ref, order, said, &mut effects);
        effects.into_iter().for_each(|effect| self.effect(effect));
        code
    }

    /// One order for each of its nodes: its statuses, then what its nodes hold.
    pub(super) fn carry_out(
        &mut self,
        msg_ref: &str,
        order: &Order,
        said: &mut Vec<Said>,
        effects: &mut Vec<Effect>,
    ) -> u16 {
        let done: Vec<(&Item, Done)> =
            order.items.iter().map(|item| (item, self.tree.obey(&order.verb, item))).collect();
        let worst = done.iter().map(|(_, done)| done.code).max().unwrap_or(400);
        effects.extend(done.iter().filter_map(|(_, done)| done.effect.clone()));
        if effects.contains(&Effect::Unenroll) {
            // Nobody answers an Unenroll.
            return worst;
        }
        let status = |code: u16, target: Option<String>| {
            let original_error = (code >= 400).then(|| "0x86000002".to_owned());
            let (msg_ref, cmd_ref, cmd) = (msg_ref.to_owned(), order.id.clone(), order.verb.clone());
            Said::Status(Status { msg_ref, cmd_ref, cmd, target, code, original_error })
        };
        if self.options.quirks.status_per_item && done.len() > 1 {
            said.extend(done.iter().map(|(item, done)| status(done.code, Some(item.target.clone()))));
        } else {
            said.push(status(worst, None));
        }
        for (item, done) in done {
            if let Some(node) = done.value {
                self.show(msg_ref, order, item, node, said);
            }
        }
        worst
    }

    /// What a node holds, in pieces when it is large; the pieces after the first wait until they are asked for.
    fn show(&mut self, msg_ref: &str, order: &Order, item: &Item, node: Node, said: &mut Vec<Said>) {
        let piece = |data: &str, size: Option<usize>, more: bool| {
            Said::Results(Results {
                msg_ref: msg_ref.to_owned(),
                cmd_ref: order.id.clone(),
                source: item.target.clone(),
                format: node.format.clone(),
                data: data.to_owned(),
                size,
                more,
            })
        };
        let pieces = pieces(&node.data, self.options.max_piece.max(1));
        let busy = self.session.as_ref().is_none_or(|session| !session.pieces.is_empty());
        if pieces.len() < 2 || busy {
            said.push(piece(&node.data, None, false));
            return;
        }
        let last = pieces.len() - 1;
        for (place, data) in pieces.iter().enumerate() {
            let size = (place == 0).then_some(node.data.len());
            let result = piece(data, size, place < last);
            match &mut self.session {
                Some(session) if place > 0 => session.pieces.push(result),
                _ => said.push(result),
            }
        }
    }

    /// All parts, or none of them.
    fn at_once(&mut self, msg_ref: &str, atomic: &Order, said: &mut Vec<Said>) -> u16 {
        let before = self.tree.clone();
        let (mut parts, mut effects, mut codes) = (Vec::new(), Vec::new(), Vec::new());
        for part in &atomic.parts {
            if codes.iter().any(|code| *code >= 300) {
                parts.push(Said::status(msg_ref, &part.id, &part.verb, 215));
                continue;
            }
            if matches!(part.verb.as_str(), "Get" | "Atomic") {
                codes.push(500);
                parts.push(Said::status(msg_ref, &part.id, &part.verb, 500));
                continue;
            }
            codes.push(self.carry_out(msg_ref, part, &mut parts, &mut effects));
        }
        if codes.iter().all(|code| *code < 300) {
            said.push(Said::status(msg_ref, &atomic.id, "Atomic", 200));
            said.append(&mut parts);
            effects.into_iter().for_each(|effect| self.effect(effect));
            return 200;
        }
        self.tree = before;
        said.push(Said::status(msg_ref, &atomic.id, "Atomic", 507));
        for part in &mut parts {
            if let Said::Status(status) = part
                && status.code == 200
            {
                status.code = 216;
            }
        }
        said.append(&mut parts);
        507
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Reboot => self.fate = Fate::Reboots,
            Effect::Wipe => self.fate = Fate::Wiped,
            Effect::Unenroll => self.user_leaves(),
            Effect::Renew => self.wants_renewal(),
            Effect::Install(node) => {
                let parent = node.trim_end_matches("/DownloadInstall").to_owned();
                self.tree.set(&format!("{parent}/Status"), "int", "70");
                let kind = "Reversed-Domain-Name:com.microsoft.mdm.win32csp_install".to_owned();
                let item = AlertItem { source: Some(parent), kind, format: "int".into(), data: "0".into() };
                self.news.push(Said::Alert { code: 1224, item: Some(item) });
            }
            Effect::Poll(node, value) => {
                if let Some(enrollment) = &mut self.enrollment {
                    enrollment.provisioned.poll.set(&node, value);
                }
            }
            Effect::Name(name) => {
                if let Some(enrollment) = &mut self.enrollment {
                    enrollment.provisioned.credentials.0 = name;
                }
            }
            Effect::Secret(secret) => {
                if let Some(enrollment) = &mut self.enrollment {
                    enrollment.provisioned.credentials.1 = secret;
                }
            }
        }
    }
}

/// A text in pieces of at most so many bytes, none of them through a character.
fn pieces(text: &str, most: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for character in text.chars() {
        let full = pieces.last().is_some_and(|last| !last.is_empty() && last.len() + character.len_utf8() > most);
        if full {
            pieces.push(String::new());
        }
        if let Some(last) = pieces.last_mut() {
            last.push(character);
        }
    }
    pieces
}
