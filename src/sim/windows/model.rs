//! What a simulated PC is: names, numbers, versions. The same seed and number make the same PC.

use crate::sim::random::Chance;

/// The facts of one PC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// 32 hexadecimal digits that the PC calls itself by in sessions.
    pub device_id: String,
    /// 64 hexadecimal digits made of its hardware, which survive a reinstallation.
    pub hardware_id: String,
    /// Its name in the network.
    pub device_name: String,
    /// Its serial number, as the firmware (SMBIOS) knows it.
    pub serial_number: String,
    /// Who made it.
    pub manufacturer: &'static str,
    /// What its maker calls it.
    pub product: &'static str,
    /// `10.0.…`.
    pub os_version: &'static str,
    /// The edition's number: 4 Enterprise, 48 Pro, 121 Education.
    pub os_edition: u32,
    /// Its hardware address.
    pub mac: String,
    /// Who uses it.
    pub user: String,
}

const HARDWARE: &[(&str, &str)] = &[
    ("LENOVO", "ThinkPad T14 Gen 5"),
    ("Dell Inc.", "Latitude 7450"),
    ("HP", "EliteBook 840 G11"),
    ("Microsoft Corporation", "Surface Laptop 7"),
];

const SYSTEMS: &[&str] = &["10.0.19045.5131", "10.0.22631.4460", "10.0.26100.2314", "10.0.26200.7019"];

const USERS: &[&str] = &["ana", "bela", "chidi", "dunja", "eva", "farid", "gita", "hugo"];

impl Model {
    /// The PC with this number.
    pub fn new(seed: u64, number: u32) -> Self {
        let mut chance = Chance::new(seed ^ 0x5749_4E44_4F57_5321, u64::from(number));
        let &(manufacturer, product) = chance.pick(HARDWARE);
        let mac: [u8; 5] = chance.bytes();
        Self {
            device_id: format!("{}{number:08X}", upper_hex(&chance.bytes::<12>())),
            hardware_id: format!("{}{number:08X}", upper_hex(&chance.bytes::<28>())),
            device_name: format!("LAB-PC-{number}"),
            serial_number: format!("PF{}{number:06}", chance.text("0123456789ABCDEFGHJKLMNPRSTVWXYZ", 4)),
            manufacturer,
            product,
            os_version: SYSTEMS[chance.below(SYSTEMS.len() as u64) as usize],
            os_edition: *chance.pick(&[4, 48, 121]),
            mac: mac.iter().fold("A4".to_owned(), |text, byte| text + &format!("-{byte:02X}")),
            user: format!("{}{number}@example.test", USERS[chance.below(USERS.len() as u64) as usize]),
        }
    }
}

/// Bytes as hexadecimal digits, as Windows writes them.
pub(super) fn upper_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02X}"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn pcs_are_the_same_for_a_seed_and_different_for_a_number() {
        assert_eq!(Model::new(1, 7), Model::new(1, 7));
        assert_ne!(Model::new(1, 7), Model::new(2, 7));
        let names: HashSet<String> = (0..500)
            .map(|number| Model::new(1, number))
            .flat_map(|pc| [pc.device_id, pc.hardware_id, pc.serial_number])
            .collect();
        assert_eq!(names.len(), 1500);
        assert_eq!((Model::new(1, 7).device_id.len(), Model::new(1, 7).hardware_id.len()), (32, 64));
    }
}
