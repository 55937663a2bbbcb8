//! What to believe when the wall clock leaps ahead: for a while, nothing of it.
//!
//! A clock that says "ten years later" is wrong, or the machine slept. In both cases no device could come meanwhile, so
//! nothing that ends with time may end because of it: the leap counts only when it has stood for an hour. By then somebody has
//! set the clock right, or devices that slept as well have had the time to come for their commands. Small steps, and steps
//! back, are believed at once.

use std::time::Duration;

use protocol::time::Timestamp;

/// A step that is believed at once.
const SMALL: Duration = Duration::from_secs(60);
/// How long a leap must stand until it is believed.
const STANDS: Duration = Duration::from_secs(3600);

/// The wall clock beside the time that really passed.
#[derive(Debug, Default)]
pub(super) struct Jumps {
    last: Option<(Timestamp, Duration)>,
    /// How far the wall clock is ahead of what is believed.
    doubted: Duration,
    doubted_since: Duration,
    /// How far what is believed was ever set back, all steps together.
    pub(super) back: Duration,
}

impl Jumps {
    /// What time it is, given what the wall clock says and how much time passed since any fixed moment.
    pub(super) fn believe(&mut self, wall: Timestamp, passed: Duration) -> Timestamp {
        let (last_wall, last_passed) = self.last.replace((wall, passed)).unwrap_or((wall, passed));
        let expected = last_wall.plus(passed.saturating_sub(last_passed));
        let (ahead, back) = (wall.since(expected), expected.since(wall));
        if ahead > SMALL {
            self.doubted += ahead;
            self.doubted_since = passed;
            let seconds = ahead.as_secs();
            tracing::warn!(
                "the clock leapt ahead by {seconds} s; that counts in an hour, unless it is set right before"
            );
        } else if back > SMALL {
            self.back += back.saturating_sub(self.doubted);
            self.doubted = self.doubted.saturating_sub(back);
        }
        if passed.saturating_sub(self.doubted_since) >= STANDS {
            self.doubted = Duration::ZERO;
        }
        wall.minus(self.doubted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const BEGIN: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn wall(seconds: u64) -> Timestamp {
        BEGIN.plus(after(seconds))
    }

    #[test]
    fn a_leap_counts_when_it_has_stood_for_an_hour() {
        let mut jumps = Jumps::default();
        assert_eq!(jumps.believe(wall(0), after(5)), wall(0));
        assert_eq!(jumps.believe(wall(10).plus(DAY * 3650), after(15)), wall(10), "ten years are not believed");
        assert_eq!(jumps.believe(wall(3000).plus(DAY * 3650), after(3005)), wall(3000), "time goes on");
        let later = wall(3610).plus(DAY * 3650);
        assert_eq!(jumps.believe(later, after(3615)), later, "now they are");
    }

    #[test]
    fn a_leap_that_is_taken_back_never_was() {
        let mut jumps = Jumps::default();
        jumps.believe(wall(0), after(0));
        jumps.believe(wall(10).plus(DAY), after(10));
        assert_eq!(jumps.believe(wall(20), after(20)), wall(20));
        assert_eq!(jumps.believe(wall(5000), after(5000)), wall(5000));
        assert_eq!(jumps.back, Duration::ZERO);
    }

    #[test]
    fn small_steps_and_steps_back_count_at_once() {
        let mut jumps = Jumps::default();
        jumps.believe(wall(0), after(0));
        assert_eq!(jumps.believe(wall(60), after(1)), wall(60));
        let before = BEGIN.minus(DAY);
        assert_eq!(jumps.believe(before, after(2)), before);
        assert_eq!(jumps.back, DAY + after(61));
        assert_eq!(jumps.believe(before.plus(DAY), after(2)), before, "forward again is a leap");
    }
}
