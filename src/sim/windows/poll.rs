//! When a PC comes by itself: the poll schedule of its provisioning document, which the server may change later.

use super::judge::Judge;

/// Minutes of a day: what Windows adds when no part of a schedule goes on without end.
const DAY: u32 = 1440;

/// Three parts that follow each other: so many times, so many minutes apart. No times and some minutes is without end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Poll {
    /// The first times, and the minutes between them.
    pub first: (u32, u32),
    /// The times after these.
    pub second: (u32, u32),
    /// All others.
    pub remaining: (u32, u32),
}

impl Poll {
    /// Changes the part that a node of the provider stands for; false when it is no such node.
    pub fn set(&mut self, node: &str, value: u32) -> bool {
        let place = match node {
            "NumberOfFirstRetries" => &mut self.first.0,
            "IntervalForFirstSetOfRetries" => &mut self.first.1,
            "NumberOfSecondRetries" => &mut self.second.0,
            "IntervalForSecondSetOfRetries" => &mut self.second.1,
            "NumberOfRemainingScheduledRetries" => &mut self.remaining.0,
            "IntervalForRemainingScheduledRetries" => &mut self.remaining.1,
            _ => return false,
        };
        *place = value;
        true
    }

    /// How many minutes pass before the session with this number, counted from 0 at enrollment.
    pub fn wait(&self, session: u32) -> u32 {
        let mut before = 0;
        for (times, minutes) in self.parts() {
            if minutes > 0 && (times == 0 || session < before + times) {
                return minutes;
            }
            before += times;
        }
        DAY
    }

    /// The rules for schedules: at most one part without end, and not nothing at all.
    pub(super) fn judge(&self, judge: &mut Judge) {
        let endless = self.parts().into_iter().filter(|(times, minutes)| *times == 0 && *minutes > 0).count();
        judge.demand(endless <= 1, || format!("{endless} parts of the poll schedule have no end"));
        let empty = self.parts().into_iter().all(|(_, minutes)| minutes == 0);
        judge.demand(!empty, || "the poll schedule is empty".into());
        let idle = self.parts().into_iter().any(|(times, minutes)| times > 0 && minutes == 0);
        judge.demand(!idle, || "a part of the poll schedule has times and no minutes".into());
    }

    const fn parts(&self) -> [(u32, u32); 3] {
        [self.first, self.second, self.remaining]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(poll: Poll) -> usize {
        let mut judge = Judge::default();
        poll.judge(&mut judge);
        judge.breaches().len()
    }

    #[test]
    fn parts_follow_each_other_and_the_last_one_is_a_day() {
        let poll = Poll { first: (2, 3), second: (1, 15), remaining: (0, 480) };
        assert_eq!([0, 1, 2, 3, 99].map(|session| poll.wait(session)), [3, 3, 15, 480, 480]);
        let ending = Poll { first: (1, 5), ..Poll::default() };
        assert_eq!([0, 1].map(|session| ending.wait(session)), [5, 1440]);
        let every_minute = Poll { first: (0, 1), ..Poll::default() };
        assert_eq!([0, 7].map(|session| every_minute.wait(session)), [1, 1]);
    }

    #[test]
    fn what_windows_does_not_take_is_a_breach() {
        assert_eq!(breaches(Poll { first: (0, 1), ..Poll::default() }), 0);
        assert_eq!(breaches(Poll { first: (0, 1), second: (0, 2), ..Poll::default() }), 1);
        assert_eq!(breaches(Poll::default()), 1);
        assert_eq!(breaches(Poll { first: (0, 1), second: (3, 0), ..Poll::default() }), 1);
    }

    #[test]
    fn nodes_change_it() {
        let mut poll = Poll { first: (0, 1), ..Poll::default() };
        assert!(poll.set("IntervalForFirstSetOfRetries", 60) && !poll.set("PollOnLogin", 1));
        assert_eq!(poll.wait(3), 60);
    }
}
