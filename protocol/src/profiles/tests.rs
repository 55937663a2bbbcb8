use proptest::prelude::*;

use super::*;

fn profile(id: i64, identifier: &str, operation: Operation) -> Profile {
    Profile {
        id,
        kind: Kind::Mobileconfig,
        identifier: identifier.to_owned(),
        scope: Scope::System,
        content: id * 10,
        token: format!("token {id}"),
        had: (operation == Operation::Remove).then_some(id * 10),
        operation,
        status: Status::Unsent,
        under_way: None,
    }
}

fn host(profiles: Vec<Profile>) -> Host {
    Host { device: Some(1), user: None, profiles }
}

fn command(entry: i64, is_with_device: bool) -> UnderWay {
    UnderWay { uuid: command_uuid([7; 16]), entry, channel: 1, is_with_device }
}

#[test]
fn what_is_unsent_is_sent_through_the_devices_channel() {
    let plan = plan(&host(vec![profile(1, "a", Operation::Install), profile(2, "b", Operation::Remove)]));
    assert_eq!(plan.send.iter().map(|send| (send.profile, send.channel)).collect::<Vec<_>>(), [(1, 1), (2, 1)]);
    assert_eq!(plan, Plan { send: plan.send.clone(), ..Plan::default() });
}

#[test]
fn a_profile_that_takes_the_place_of_another_is_installed_and_nothing_removed() {
    let plan = plan(&host(vec![profile(1, "same", Operation::Remove), profile(2, "same", Operation::Install)]));
    assert_eq!(plan.send.iter().map(|send| send.profile).collect::<Vec<_>>(), [2]);
    assert_eq!(plan.drop, [1]);
}

#[test]
fn the_same_content_under_another_profile_costs_no_command() {
    for turned in [false, true] {
        let old = Profile { token: "same".to_owned(), ..profile(1, "same", Operation::Remove) };
        let new = Profile { token: "same".to_owned(), ..profile(2, "same", Operation::Install) };
        let profiles = if turned { vec![new, old] } else { vec![old, new] };
        assert_eq!(plan(&host(profiles)), Plan { adopt: vec![(2, 1)], ..Plan::default() }, "turned: {turned}");
    }
}

#[test]
fn a_removal_that_was_never_installed_is_nothing_to_do() {
    let never = Profile { had: None, ..profile(1, "a", Operation::Remove) };
    assert_eq!(plan(&host(vec![never])), Plan { drop: vec![1], ..Plan::default() });
}

#[test]
fn what_waits_is_taken_back_and_what_the_device_has_is_waited_for() {
    let waits = Profile { under_way: Some(command(5, false)), ..profile(1, "a", Operation::Install) };
    let plan_of_waiting = plan(&host(vec![waits]));
    assert_eq!(plan_of_waiting.take_back, [command(5, false)]);
    assert_eq!(plan_of_waiting.send.len(), 1);
    let with_device = Profile { under_way: Some(command(5, true)), ..profile(1, "a", Operation::Install) };
    assert_eq!(plan(&host(vec![with_device])).hold.len(), 1);
    let removal = Profile { under_way: Some(command(5, true)), ..profile(1, "a", Operation::Remove) };
    let plan_of_both = plan(&host(vec![removal, profile(2, "a", Operation::Install)]));
    assert_eq!(plan_of_both.hold.len(), 2, "the removal under way would take the new one away: {plan_of_both:?}");
}

#[test]
fn nothing_goes_to_a_host_that_is_not_enrolled_or_to_a_user_who_is_not_there() {
    let gone = Host { device: None, ..host(vec![profile(1, "a", Operation::Install)]) };
    assert_eq!(plan(&gone).hold.len(), 1);
    let of_user = Profile { scope: Scope::User, ..profile(1, "a", Operation::Install) };
    assert_eq!(plan(&host(vec![of_user.clone()])).hold.len(), 1);
    let with_user = Host { user: Some(9), ..host(vec![of_user]) };
    assert_eq!(plan(&with_user).send[0].channel, 9);
}

#[test]
fn declarations_share_one_command_that_waits() {
    let declaration =
        |id, under_way| Profile { kind: Kind::Declaration, under_way, ..profile(id, "x", Operation::Install) };
    let waits = Profile { status: Status::Pending, ..declaration(1, Some(command(5, false))) };
    let new = Profile { identifier: "y".to_owned(), ..declaration(2, None) };
    assert_eq!(plan(&host(vec![waits, new.clone()])).send[0].joins, Some(command(5, false)));
    let with_device = Profile { status: Status::Pending, ..declaration(1, Some(command(5, true))) };
    assert_eq!(plan(&host(vec![with_device, new])).send[0].joins, None, "the device may have asked already");
}

#[test]
fn a_declaration_that_gives_way_leaves_the_command_to_the_others() {
    let declaration = |id, operation| Profile { kind: Kind::Declaration, ..profile(id, "same", operation) };
    let gone = Profile { under_way: Some(command(5, false)), ..declaration(1, Operation::Remove) };
    let plan = plan(&host(vec![gone, declaration(2, Operation::Install)]));
    assert_eq!((&plan.drop[..], &plan.take_back[..]), (&[1][..], &[][..]));
    assert_eq!(plan.send[0].joins, Some(command(5, false)));
}

#[test]
fn names_tell_what_a_command_is_for() {
    let (delivery, list) = (command_uuid([0xff; 16]), list_uuid([0xff; 16]));
    assert!(is_delivery(&delivery) && !is_list(&delivery) && is_list(&list) && !is_delivery(&list));
    assert!(!is_delivery(&CommandUuid::from(Uuid::from_bytes([0x70; 16]))));
}

fn any_profile() -> impl Strategy<Value = Profile> {
    let waiting = proptest::option::of((any::<bool>(), 0..9_i64));
    (0..3_usize, "[ab]", any::<(bool, bool)>(), proptest::option::of(0..2_i64), any::<bool>(), waiting).prop_map(
        |(kind, identifier, (removes, user), had, unsent, waiting)| Profile {
            id: 0,
            kind: [Kind::Mobileconfig, Kind::Declaration, Kind::Windows][kind],
            identifier: if kind == 2 { String::new() } else { identifier },
            scope: if user { Scope::User } else { Scope::System },
            content: 1,
            token: "token".to_owned(),
            had,
            operation: if removes { Operation::Remove } else { Operation::Install },
            status: if unsent { Status::Unsent } else { Status::Verified },
            // Profiles of different kinds never share one.
            under_way: waiting.map(|(with, entry)| command(entry + 10 * kind as i64, with)),
        },
    )
}

proptest! {
    #[test]
    fn every_unsent_profile_has_exactly_one_fate(
        mut profiles in proptest::collection::vec(any_profile(), 0..8),
        device in any::<bool>(), user in any::<bool>(),
    ) {
        for (id, profile) in (1..).zip(&mut profiles) {
            profile.id = id;
        }
        let host = Host { device: device.then_some(1), user: user.then_some(2), profiles };
        let plan = plan(&host);
        for profile in &host.profiles {
            let fates = plan.send.iter().filter(|send| send.profile == profile.id).count()
                + plan.hold.iter().filter(|(id, _)| *id == profile.id).count()
                + plan.drop.iter().filter(|id| **id == profile.id).count()
                + plan.adopt.iter().filter(|(id, other)| *id == profile.id || *other == profile.id).count();
            let expected = usize::from(profile.status == Status::Unsent);
            let adopted_from = plan.adopt.iter().any(|(_, other)| *other == profile.id);
            prop_assert!(fates == expected || adopted_from && fates == 1, "{profile:?} {plan:?}");
        }
        for command in &plan.take_back {
            prop_assert!(!command.is_with_device, "nobody takes back what the device has");
            let joined = plan.send.iter().any(|send| send.joins.as_ref() == Some(command));
            prop_assert!(!joined, "nobody takes back what others wait for");
        }
    }
}
