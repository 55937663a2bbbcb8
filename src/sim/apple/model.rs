//! The facts of one device: what it is called, what it is made of, and which system it runs.
//!
//! Plausible, and unique for a seed and a number. Never here: what the device does. Start with [`Model::new`].

use crate::sim::random::Chance;

/// The family of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// A Mac.
    Mac,
    /// An iPhone.
    IPhone,
    /// An iPad.
    IPad,
}

/// The facts of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The family.
    pub family: Family,
    /// The hardware, for example `Mac15,3`.
    pub product_name: &'static str,
    /// The hardware as people name it, for example `MacBook Pro`.
    pub model_name: &'static str,
    /// The order number, for example `MTL73`.
    pub model_number: &'static str,
    /// The name its owner gave it.
    pub device_name: String,
    /// The serial number, ten characters.
    pub serial_number: String,
    /// The UDID: of a Mac a UUID, of others the chip and the number of the chip.
    pub udid: String,
    /// What names it when it belongs to its user (User Enrollment).
    pub enrollment_id: String,
    /// The system's version.
    pub os_version: &'static str,
    /// The system's build.
    pub build_version: &'static str,
    /// The mobile equipment identity, of an iPhone.
    pub imei: Option<String>,
    /// The hardware address of its Wi-Fi; those of Bluetooth and Ethernet follow it.
    pub wifi_mac: [u8; 6],
    /// The size of its disk in gigabytes.
    pub capacity_gigabytes: u32,
    /// The first name of its owner.
    pub owner: &'static str,
}

/// Hardware: family, product name, model name, model number, chip.
type Hardware = (Family, &'static str, &'static str, &'static str, &'static str);

const HARDWARE: &[Hardware] = &[
    (Family::Mac, "Mac14,2", "MacBook Air", "MLY33", "00008112"),
    (Family::Mac, "Mac14,12", "Mac mini", "MNH73", "00006020"),
    (Family::Mac, "Mac15,3", "MacBook Pro", "MTL73", "00008122"),
    (Family::Mac, "Mac15,5", "iMac", "MQRC3", "00008122"),
    (Family::Mac, "MacBookPro18,3", "MacBook Pro", "MKGP3", "00006000"),
    (Family::IPhone, "iPhone14,7", "iPhone", "MPUF3", "00008110"),
    (Family::IPhone, "iPhone15,2", "iPhone", "MQ0G3", "00008120"),
    (Family::IPhone, "iPhone16,1", "iPhone", "MTUX3", "00008130"),
    (Family::IPad, "iPad13,18", "iPad", "MPQ03", "00008101"),
    (Family::IPad, "iPad14,1", "iPad", "MK7M3", "00008110"),
    (Family::IPad, "iPad13,4", "iPad", "MHQR3", "00008103"),
];

const MAC_SYSTEMS: &[(&str, &str)] = &[("14.7.1", "23H222"), ("15.1", "24B83"), ("15.1.1", "24B91")];
const MOBILE_SYSTEMS: &[(&str, &str)] = &[("17.7.1", "21H216"), ("18.0.1", "22A3370"), ("18.1", "22B83")];

const OWNERS: &[&str] = &[
    "Ann", "Ben", "Carla", "Dana", "Emil", "Fatima", "Goran", "Hana", "Ines", "Jonas", "Kemal", "Lucía", "Mei", "Noor",
    "Olga", "Pavel", "Quentin", "Rosa", "Søren", "Tomás", "Uma", "Vera", "Wen", "Xenia", "Yusuf", "Zoë",
];

/// The characters of serial numbers: no vowels but Y, and none that look like digits.
const SERIAL_ALPHABET: &str = "0123456789CDFGHJKLMNPQRTVWXY";

impl Model {
    /// The device with this number; the same seed and number give the same device.
    pub fn new(family: Family, seed: u64, number: u32) -> Self {
        let mut chance = Chance::new(seed, u64::from(number));
        let of_family: Vec<&Hardware> = HARDWARE.iter().filter(|hardware| hardware.0 == family).collect();
        let &&(_, product_name, model_name, model_number, chip) = chance.pick(&of_family);
        let systems = if family == Family::Mac { MAC_SYSTEMS } else { MOBILE_SYSTEMS };
        let &(os_version, build_version) = chance.pick(systems);
        let owner = *chance.pick(OWNERS);
        let mut wifi_mac = chance.bytes();
        wifi_mac[..3].copy_from_slice(&[0xF8, 0x4D, 0x89]);
        Self {
            family,
            product_name,
            model_name,
            model_number,
            device_name: format!("{owner}’s {model_name}"),
            serial_number: serial_number(&mut chance, number),
            udid: match family {
                Family::Mac => uuid_of(&mut chance, number),
                // The chip, and sixteen digits of which the first are its batch.
                _ => format!("{chip}-{:04X}{number:08X}{:04X}", chance.below(0x1_0000), chance.below(0x1_0000)),
            },
            enrollment_id: uuid_of(&mut chance, number),
            os_version,
            build_version,
            imei: (family == Family::IPhone).then(|| imei(number)),
            wifi_mac,
            capacity_gigabytes: *chance.pick(&[64, 128, 256, 512, 1024]),
            owner,
        }
    }

    /// Whether it is a Mac.
    pub fn is_mac(&self) -> bool {
        self.family == Family::Mac
    }

    /// A hardware address near that of the Wi-Fi.
    pub fn hardware_address(&self, offset: u8) -> String {
        let mut address = self.wifi_mac;
        address[5] = address[5].wrapping_add(offset);
        address.map(|byte| format!("{byte:02x}")).join(":")
    }
}

/// Ten characters: five of chance, five that are the number.
fn serial_number(chance: &mut Chance, number: u32) -> String {
    let base = SERIAL_ALPHABET.len() as u32;
    let digit = |place: u32| char::from(SERIAL_ALPHABET.as_bytes()[(number / base.pow(place) % base) as usize]);
    let number: String = (0..5).rev().map(digit).collect();
    chance.text(&SERIAL_ALPHABET[10..], 5) + &number
}

/// A UUID whose last eight digits are the number.
fn uuid_of(chance: &mut Chance, number: u32) -> String {
    let random = chance.uuid();
    format!("{}{number:08X}", &random[..random.len() - 8])
}

/// An IMEI with its check digit, written in groups as iOS does.
fn imei(number: u32) -> String {
    let digits = format!("356987{:08}", number % 100_000_000);
    let luhn = |(index, digit): (usize, u8)| {
        let value = u32::from(digit - b'0') * (1 + index as u32 % 2);
        value / 10 + value % 10
    };
    let check = (10 - digits.bytes().enumerate().map(luhn).sum::<u32>() % 10) % 10;
    format!("{} {} {} {check}", &digits[..2], &digits[2..8], &digits[8..])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn devices_are_the_same_for_a_seed_and_different_for_a_number() {
        let names = |model: &Model| [model.serial_number.clone(), model.udid.clone(), model.enrollment_id.clone()];
        for family in [Family::Mac, Family::IPhone, Family::IPad] {
            assert_eq!(Model::new(family, 5, 9), Model::new(family, 5, 9));
            assert_ne!(Model::new(family, 5, 9), Model::new(family, 6, 9));
            let all: HashSet<String> = (0..2000).flat_map(|number| names(&Model::new(family, 5, number))).collect();
            assert_eq!(all.len(), 6000);
        }
    }

    #[test]
    fn names_have_the_shapes_of_apples() {
        let mac = Model::new(Family::Mac, 1, 70_000);
        assert!(uuid::Uuid::parse_str(&mac.udid).is_ok() && mac.imei.is_none());
        assert_eq!(mac.serial_number.len(), 10);
        let phone = Model::new(Family::IPhone, 1, 70_000);
        assert_eq!((phone.udid.len(), &phone.udid[8..9]), (25, "-"));
        assert_eq!(protocol::apple::platform::platform(phone.product_name), "ios");
        assert_eq!(mac.hardware_address(0).len(), 17);
        assert_ne!(mac.hardware_address(0), mac.hardware_address(1));
    }

    #[test]
    fn the_check_digit_of_an_imei_is_that_of_luhn() {
        let digits: Vec<u32> = imei(12_345_678).chars().filter_map(|digit| digit.to_digit(10)).collect();
        assert_eq!(digits.len(), 15);
        let sum: u32 = digits
            .iter()
            .rev()
            .enumerate()
            .map(|(index, digit)| if index % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { *digit })
            .sum();
        assert_eq!(sum % 10, 0);
    }
}
